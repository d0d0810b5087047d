"""A whole worker: dramatiq's own `Worker` in this process, and the program itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import dramatiq
import pytest
from dramatiq.worker import Worker

from facnet_grpc.errors import TransientError
from facnet_grpc.jobs.contract import VALIDATE, ValidateRun
from facnet_grpc.jobs.queue import make_broker
from facnet_grpc.model.run import RunStatus
from workers import broker, main
from workers.middleware.metrics import MetricsPage


@pytest.fixture
def worker(settings, request):
    """A worker that takes messages for lost after a second, or after as many as the parameter says."""
    seconds = getattr(request, "param", 1.0)
    worker = Worker(main.assemble(settings, message_seconds=seconds), worker_threads=1)
    worker.start()
    yield worker
    worker.stop(10_000)


def end_of(bench, run_id, seconds=30.0):
    """Wait for the terminal event."""
    deadline, position = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        for event in bench.resources.events.tail({run_id: position}, block_seconds=0.5):
            position = event.position
            if event.status.is_terminal:
                return event
    raise AssertionError("the run has not ended")


@pytest.mark.parametrize("worker", [3600.0], indirect=True)  # it is the message that wakes the worker
def test_a_queued_run_is_worked_on_at_once(bench, worker, sample):
    lines = sample.splitlines(keepends=True)
    took = []
    for _ in range(3):
        run_id = bench.submit(b"".join(lines[:1001]))
        began = time.monotonic()
        bench.resources.queue.enqueue(ValidateRun(run_id))
        assert end_of(bench, run_id).status is RunStatus.COMPLETED
        took.append(time.monotonic() - began)
    assert min(took) < 2.0  # usually a twentieth of that; machines that test are slow


@pytest.mark.parametrize("worker", [0.0], indirect=True)
def test_a_run_whose_message_never_came_is_found(bench, worker, sample):
    run_id = bench.submit(sample)
    assert end_of(bench, run_id).status is RunStatus.COMPLETED


def test_what_an_idle_worker_leaves_in_redis_goes_away(bench, worker, sample, redis_client):
    run_id = bench.submit(sample)
    bench.resources.queue.enqueue(ValidateRun(run_id))
    end_of(bench, run_id)
    worker.stop(10_000)
    assert [key for key in redis_client.scan_iter() if redis_client.ttl(key) < 0] == []


def test_each_process_has_a_metrics_page_of_its_own():
    pages = [MetricsPage("127.0.0.1:19464"), MetricsPage("127.0.0.1:19464")]
    for page in pages:
        page.open()
    try:
        assert len({19464, pages[0].port, pages[1].port}) == 3
        for page in pages:
            with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics") as answer:
                assert b"facnet_runs_total" in answer.read()
    finally:
        for page in pages:
            page.close()


@pytest.mark.parametrize("listen", ["192.0.2.1:19464", "127.0.0.1:65534"], ids=["not here", "no port left"])
def test_a_metrics_page_that_cannot_be_opened_keeps_nobody_from_work(listen):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 65535))
        taken.listen()
        page = MetricsPage(listen)
        page.open()
        assert page.port is None


def test_without_redis_nobody_knows_how_many_messages_wait():
    with pytest.raises(TransientError):
        broker.count_messages(make_broker("redis://127.0.0.1:1"))


def test_setup_makes_this_process_a_worker(environment, monkeypatch):
    set_, configured = [], []
    monkeypatch.setattr(dramatiq, "set_broker", set_.append)
    monkeypatch.setattr(main.logs, "configure", lambda *args: configured.append(args))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    main.setup()
    assert VALIDATE in set_[0].actors
    assert configured == [("info", "auto")]


def test_setup_refuses_a_directory_that_cannot_be_used(environment, monkeypatch, capsys):
    monkeypatch.setattr(main.logs, "configure", lambda *_: None)
    for name, value in {**environment, "FACNET_BLOB_DIR": "/dev/null/files"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        main.setup()
    assert stopped.value.code == main.CANNOT_START
    assert "FACNET_BLOB_DIR" in capsys.readouterr().err


def test_setup_says_every_setting_that_is_missing(monkeypatch, capsys):
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit):
        main.setup()
    said = capsys.readouterr().err
    assert "DATABASE_URL: is missing" in said
    assert "REDIS_URL: is missing" in said


def program(environment, *options):
    command = [sys.executable, "-m", "dramatiq", "workers.main:setup", "--threads", "1", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture
def environment(settings):
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.storage.database_url.get_secret_value(),
        "REDIS_URL": settings.storage.redis_url.get_secret_value(),
        "FACNET_BLOB_DIR": str(settings.storage.blob_dir),
        "FACNET_PSEUDONYM_KEY": "x" * 32,
        "FACNET_BLOB_KEY": "b" * 32,
        "FACNET_METRICS_LISTEN": "",
        "FACNET_RECONCILE_SECONDS": "0.2",
    }


def test_the_program_works_and_stops_when_told(bench, environment, sample):
    run_id = bench.submit(sample)
    bench.resources.queue.enqueue(ValidateRun(run_id))
    with program(environment, "--processes", "2") as process:
        try:
            assert end_of(bench, run_id).status is RunStatus.COMPLETED
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.count(b"worker_stopped") == 2


def test_the_program_says_what_is_missing_and_does_not_start(environment):
    del environment["DATABASE_URL"]
    with program(environment, "--processes", "1") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == main.CANNOT_START
    assert b"DATABASE_URL: is missing" in said
