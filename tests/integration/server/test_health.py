"""Liveness and readiness over HTTP and gRPC, and two servers on one port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving import NOWHERE

from facnet_grpc import health
from facnet_grpc.errors import TransientError
from facnet_grpc.server import app as apps
from facnet_grpc.settings.storage import StorageSettings

pytestmark = pytest.mark.system


@pytest.fixture
def open_page():
    with ExitStack() as opened:

        def make(readiness):
            page = health.Page("127.0.0.1", 0, readiness)
            opened.callback(page.close)
            return page

        yield make


def ask(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def settings(tmp_path, url, redis_url):
    return StorageSettings(database_url=url, redis_url=redis_url, blob_dir=tmp_path, pseudonym_key="x" * 32)


def test_a_whole_process_is_ready(open_page, database, clean_postgres_url, redis_url, tmp_path):
    page = open_page(health.of(settings(tmp_path, clean_postgres_url, redis_url), database))
    everything = {"ready": True, "postgres": True, "schema": True, "redis": True, "blobs": True}
    assert ask(page.port, "/readyz") == (200, everything)
    assert ask(page.port, "/livez") == (200, {"alive": True})
    with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics") as answer:
        assert b"facnet_queue_age_seconds" in answer.read()


def test_without_redis_runs_are_still_taken(open_page, database, clean_postgres_url, tmp_path):
    page = open_page(health.of(settings(tmp_path, clean_postgres_url, NOWHERE), database))
    status, body = ask(page.port, "/readyz")
    assert (status, body["redis"]) == (200, False)


def test_a_schema_that_is_not_there_is_not_ready(open_page, database, empty_postgres_url, redis_url, tmp_path):
    page = open_page(health.of(settings(tmp_path, empty_postgres_url, redis_url), database))
    status, body = ask(page.port, "/readyz")
    assert (status, body["schema"], body["postgres"]) == (503, False, True)


def test_who_stops_is_alive_and_not_ready(open_page):
    readiness = health.Readiness({"postgres": lambda: None})
    page = open_page(readiness)
    readiness.stop()
    assert ask(page.port, "/readyz")[0] == 503
    assert ask(page.port, "/livez")[0] == 200


def test_parts_are_not_asked_by_every_probe():
    asked = []

    def check():
        asked.append(1)
        raise TransientError

    now = 0.0
    readiness = health.Readiness({"postgres": check}, clock=lambda: now)
    assert not any(readiness.is_ready() for _ in range(5))
    assert len(asked) == 1
    now = health.CACHE_SECONDS + 0.1
    assert not readiness.is_ready()
    assert len(asked) == 2


def test_a_check_that_raises_anything_is_a_check_that_fails():
    """A defect in a check must not end the task that reports readiness over gRPC."""
    readiness = health.Readiness({"schema": lambda: {}["missing"], "redis": lambda: None})
    assert readiness.check() == {"schema": False, "redis": True}
    assert not readiness.is_ready()


def free_ports(count):
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def served(port, service=""):
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            return health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status
        except grpc.RpcError:
            return None


def wait_for(check, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def calls_of(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = 'grpc_server_handled_total{grpc_code="OK",grpc_method="Check"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


def test_two_servers_share_a_port_and_one_of_them_may_go(clean_postgres_url, redis_url, tmp_path):
    port, *pages = free_ports(3)
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": clean_postgres_url,
        "REDIS_URL": redis_url,
        "FACNET_BLOB_DIR": str(tmp_path),
        "FACNET_PSEUDONYM_KEY": "x" * 32,
        "FACNET_BLOB_KEY": "x" * 32,
        "FACNET_LISTEN": f"127.0.0.1:{port}",
        "FACNET_REUSE_PORT": "true",
        "FACNET_SHUTDOWN_SECONDS": "1",
    }
    with ExitStack() as opened:
        servers = []
        for page in pages:
            command = [sys.executable, "-m", "facnet_grpc", "serve"]
            more = {"FACNET_METRICS_LISTEN": f"127.0.0.1:{page}"}
            servers.append(opened.enter_context(subprocess.Popen(command, env={**environment, **more})))
            opened.callback(servers[-1].kill)
        for page in pages:
            wait_for(lambda page=page: answers(page))
        wait_for(lambda: served(port) and min(map(calls_of, pages)) > 0)  # the kernel deals out connections to both
        servers[0].terminate()
        assert servers[0].wait(60) == 0
        assert all(served(port, "facnet.v1.ValidationService") == 1 for _ in range(10))
        servers[1].terminate()
        assert servers[1].wait(60) == 0


def answers(page):
    try:
        return ask(page, "/readyz")[0] == 200
    except OSError:
        return False


def test_services_say_over_grpc_that_they_cannot_work(server):
    server.do(apps.set_health(server.running.app, ready=False))
    port = server.running.app.port
    assert served(port, "facnet.v1.ValidationService") == health_pb2.HealthCheckResponse.NOT_SERVING
    assert served(port) == health_pb2.HealthCheckResponse.SERVING
    server.do(apps.set_health(server.running.app, ready=True))
    assert served(port, "facnet.v1.ValidationService") == health_pb2.HealthCheckResponse.SERVING
