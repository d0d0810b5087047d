"""A worker that is told to go: the program itself, with a run in its hands.

It stands still in the middle of its file, at a fault point, for as long as a test wants: how fast the machine is does
not matter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.model.run import RunStatus

PROGRAM = (sys.executable, "-m", "dramatiq", "workers.main:setup", "--processes", "1", "--threads", "1")
STORED = "worker.copy.mid"
PLAN = f"worker.parse.mid=hold;{STORED}=note"  # the second batch is not parsed, and the first can be seen to be stored
LINES = 20_000  # several batches
PATIENCE = 60.0


@dataclass
class AtWork:
    """A worker in the middle of a run."""

    process: subprocess.Popen[bytes]
    run_id: UUID
    plan: Path
    log: Path

    def tell(self, number: signal.Signals) -> None:
        """Send a signal and wait until the worker has told its jobs about it."""
        self.process.send_signal(number)
        eventually(lambda: "Shutting down..." in self.log.read_text())

    def go_on(self) -> None:
        """Let it read its file to the end."""
        self.plan.unlink()

    def status(self) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(PATIENCE)


def eventually(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def large(sample):
    header, *lines = sample.splitlines(keepends=True)
    return header + b"".join(lines) * (LINES // len(lines))


@pytest.fixture
def start(bench, settings, large, tmp_path):
    """Starts a worker and returns it once it is in the middle of a run."""
    started = []

    def begin(grace):
        plan, hits, log = (tmp_path / name for name in ("plan", "hits", "log"))
        plan.write_text(PLAN)
        environment = {
            **os.environ,
            "DATABASE_URL": settings.storage.database_url.get_secret_value(),
            "REDIS_URL": settings.storage.redis_url.get_secret_value(),
            "FACNET_BLOB_DIR": str(settings.storage.blob_dir),
            "FACNET_BLOB_KEY": settings.storage.blob_key.get_secret_value(),
            "FACNET_PSEUDONYM_KEY": settings.storage.pseudonym_key.get_secret_value(),
            "FACNET_METRICS_LISTEN": "",
            "FACNET_LEASE_SECONDS": "3",
            "FACNET_SHUTDOWN_SECONDS": str(grace),
            "FACNET_FAULTS": f"@{plan}",
            "FACNET_FAULTS_STATE": str(hits),
        }
        run_id = bench.submit(large)
        bench.resources.queue.enqueue(ValidateRun(run_id))
        with log.open("wb") as output:
            process = subprocess.Popen(PROGRAM, env=environment, stdout=output, stderr=output)
        started.append(process)
        eventually(lambda: hits.exists() and STORED in hits.read_text())
        return AtWork(process, run_id, plan, log)

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def test_a_run_is_finished_if_there_is_time(bench, start):
    worker = start(grace=PATIENCE)
    worker.tell(signal.SIGINT)
    worker.go_on()
    assert worker.status() == 0
    run = bench.run(worker.run_id)
    assert (run.status, run.attempt, run.processed_rows) == (RunStatus.COMPLETED, 1, LINES)


def test_a_run_is_given_back_uncounted_if_there_is_not(bench, start):
    worker = start(grace=0)
    worker.tell(signal.SIGTERM)
    worker.status()
    run = bench.run(worker.run_id)
    assert (run.status, run.attempt, run.uncounted_attempts) == (RunStatus.QUEUED, 1, 1)
    assert bench.count("billing_records", worker.run_id) == 0
    assert bench.blobs() == {run.blob_key}


def test_a_second_signal_ends_it_at_once(bench, start):
    worker = start(grace=10 * PATIENCE)  # far longer than `status` waits
    worker.tell(signal.SIGTERM)
    worker.process.send_signal(signal.SIGTERM)
    worker.status()
    assert bench.run(worker.run_id).status is RunStatus.PROCESSING  # until its lease runs out
    assert bench.count("billing_records", worker.run_id) == 0
