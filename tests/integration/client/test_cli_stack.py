"""`facnet` as a process: a stack of its own that never stays behind, signals, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# A stand-in for the stack: announces a fake server, stops when its standard input closes, and says so in a file.
STACK = """
    import json, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from fake_server import Fake, progress, serving, terminal
    fake = Fake()
    fake.watches = [[progress(10), terminal()]]
    if {endless}:
        import time
        def endless(request, context):
            yield progress(10)
            Path({marks!r}, "watched").touch()
            while context.is_active():
                time.sleep(0.05)
        fake.WatchValidation = endless
    with serving(fake) as target:
        print(json.dumps({{"target": target}}), flush=True)
        sys.stdin.read()
    Path({marks!r}, "stopped").touch()
"""
FACNET = """
    import sys
    from facnet_cli import main
    from facnet_cli.system import System
    sys.argv[0] = "facnet"
    main(System(stack_command=(sys.executable, {stack!r}), is_installed=lambda module: True))
"""
# A watch in which the exception of the first Ctrl-C is lost, as it is if it is raised in a callback.
LOSE_FIRST_INTERRUPT = """
    import time
    from facnet_client.client import FacnetClient
    watch = FacnetClient.watch
    def deaf(self, validation_id, **options):
        try:
            yield from watch(self, validation_id, **options)
        except KeyboardInterrupt:
            time.sleep(60)
    FacnetClient.watch = deaf
"""


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*arguments, endless=False, script=None, before=""):
        stack = tmp_path / "stack.py"
        stack.write_text(textwrap.dedent(script or STACK.format(here=str(HERE), marks=str(tmp_path), endless=endless)))
        program = textwrap.dedent(before) + textwrap.dedent(FACNET.format(stack=str(stack)))
        environ = {name: value for name, value in os.environ.items() if name not in ("FACNET_SERVER", "LANG", "LC_ALL")}
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def wait_for(path):
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_run_starts_a_stack_of_its_own_and_stops_it(start, claims, tmp_path):
    process = start("run", claims, "--json")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out)["validation"]["status"] == "COMPLETED"
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing_running(start, claims, tmp_path, number, code):
    process = start("run", claims, endless=True)
    wait_for(tmp_path / "watched")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, b"", b"")
    assert (tmp_path / "stopped").exists()


def test_an_interrupt_that_gets_lost_comes_again(start, claims, tmp_path):
    process = start("run", claims, endless=True, before=LOSE_FIRST_INTERRUPT)
    wait_for(tmp_path / "watched")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / "stopped").exists()


def test_a_stack_goes_when_its_owner_is_killed(start, claims, tmp_path):
    process = start("run", claims, endless=True)
    wait_for(tmp_path / "watched")
    process.kill()
    wait_for(tmp_path / "stopped")


def test_a_stack_that_does_not_start_is_an_error_with_its_last_words(start, claims):
    process = start("run", claims, script="raise SystemExit('no port left')")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 78
    assert b"no port left" in err
    assert out == b""


def test_a_file_that_is_not_there_starts_nothing(start, tmp_path):
    process = start("run", tmp_path / "nope.csv", script="raise SystemExit('started')")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"started" not in err


def test_a_reader_who_leaves_is_no_error(start, claims, tmp_path):
    process = start("run", claims)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    assert (tmp_path / "stopped").exists()
