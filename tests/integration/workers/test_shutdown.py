"""A worker that is told to go: the program itself, with a run in its hands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.model.run import RunStatus

PROGRAM = (sys.executable, "-m", "dramatiq", "workers.main:setup", "--processes", "1", "--threads", "1")
LINES = 150_000


@pytest.fixture
def large(sample):
    header, *lines = sample.splitlines(keepends=True)
    return header + b"".join(lines) * (LINES // len(lines))


@pytest.fixture
def start(bench, settings, large):
    """Starts a worker and returns it once it is in the middle of a run."""
    started = []

    def begin(grace):
        environment = {
            **os.environ,
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "FACNET_BLOB_DIR": str(settings.blob_dir),
            "FACNET_BLOB_KEY": settings.blob_key.get_secret_value(),
            "FACNET_PSEUDONYM_KEY": settings.pseudonym_key.get_secret_value(),
            "FACNET_METRICS_LISTEN": "",
            "FACNET_LEASE_SECONDS": "3",
            "FACNET_SHUTDOWN_SECONDS": str(grace),
        }
        run_id = bench.submit(large)
        bench.resources.queue.enqueue(ValidateRun(run_id))
        process = subprocess.Popen(PROGRAM, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        deadline = time.monotonic() + 30
        while bench.run(run_id).processed_rows == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process, run_id

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def wait_for_end(process, seconds):
    began = time.monotonic()
    process.wait(seconds)
    return time.monotonic() - began


def test_a_run_is_finished_if_there_is_time(bench, start):
    process, run_id = start(grace=30)
    process.send_signal(signal.SIGINT)
    wait_for_end(process, 60)
    run = bench.run(run_id)
    assert (run.status, run.attempt, run.processed_rows) == (RunStatus.COMPLETED, 1, LINES)
    assert process.returncode == 0


def test_a_run_is_given_back_uncounted_if_there_is_not(bench, start):
    process, run_id = start(grace=0)
    process.send_signal(signal.SIGTERM)
    wait_for_end(process, 20)
    run = bench.run(run_id)
    assert (run.status, run.attempt, run.uncounted_attempts) == (RunStatus.QUEUED, 1, 1)
    assert bench.count("billing_records", run_id) == 0
    assert bench.blobs() == {run.blob_key}


def test_a_second_signal_ends_it_at_once(bench, start):
    process, run_id = start(grace=60)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)  # dramatiq looks once a second whether it was told to stop
    process.send_signal(signal.SIGTERM)
    assert wait_for_end(process, 20) < 4
    assert bench.run(run_id).status is RunStatus.PROCESSING  # until its lease runs out
    assert bench.count("billing_records", run_id) == 0
