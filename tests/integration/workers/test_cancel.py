"""A cancel ends a run within two seconds, whatever its worker is doing.

What is measured is that it ends long before the work would: nobody knows how busy the machine is.
"""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread

import psycopg
import pytest

from facnet_grpc import faults
from facnet_grpc.model.run import RunStatus
from facnet_grpc.rules import registry
from facnet_grpc.storage.postgres import leases, runs
from facnet_grpc.storage.postgres.records import RecordWriter
from workers.validation.job import validate

SOON = 10.0
HELD = 60.0  # what is cancelled would take
LEAST_IN_A_BATCH = 5_000  # lines
NOTHING = {"billing_records": 0, "rejected_rows": 0, "validation_results": 0}


@pytest.fixture
def start(bench):
    """Begins attempts in threads."""
    threads = []

    def begin(run_id):
        threads.append(Thread(target=validate, args=(bench.resources, run_id), daemon=True))
        threads[-1].start()
        return threads[-1]

    yield begin
    for thread in threads:
        thread.join(HELD)
        assert not thread.is_alive()


def cancel(bench, run_id):
    """Ask for it, and return how long the run took to end, in seconds."""
    began = time.monotonic()
    with bench.resources.database.connection() as conn:
        runs.request_cancel(conn, run_id, "local")
    while not bench.run(run_id).status.is_terminal:
        assert time.monotonic() - began < HELD
        time.sleep(0.01)
    return time.monotonic() - began


def sessions_with_rows(url):
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()"
    with psycopg.connect(url) as conn:
        return conn.execute(query).fetchone()[0]


def assert_nothing_is_left(bench, run_id):
    assert bench.run(run_id).status is RunStatus.CANCELLED
    assert bench.stored(run_id) == NOTHING
    deadline = time.monotonic() + SOON
    while bench.blobs():
        assert time.monotonic() < deadline
    ends = [event for event in bench.events(run_id) if event.status.is_terminal]
    assert [event.status for event in ends] == [RunStatus.CANCELLED]


@pytest.fixture
def hold(monkeypatch, tmp_path):
    """Makes the thread that parses wait at its Nth batch after the first until the test is over."""

    def at(number):
        monkeypatch.setattr(faults, "_STATE", str(tmp_path / "hits"))
        monkeypatch.setattr(faults, "_PLAN", f"worker.parse.mid=hold@{number}")

    return at


@pytest.mark.parametrize("batches", [1, 4])
def test_a_large_file_is_dropped_in_the_middle_of_its_load(bench, start, hold, sample, batches):
    header, *lines = sample.splitlines(keepends=True)
    run_id = bench.submit(header + b"".join(lines) * 16)
    hold(batches)
    start(run_id)
    deadline = time.monotonic() + HELD
    while bench.run(run_id).processed_rows < LEAST_IN_A_BATCH * batches:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert cancel(bench, run_id) < SOON
    assert_nothing_is_left(bench, run_id)


def test_a_rule_that_takes_long_does_not_keep_the_run(bench, start, sample, monkeypatch, clean_postgres_url):
    reached, go_on = Flag(), Flag()

    class Slow:
        info = registry.RULES[0].info

        def evaluate(self, lines, reference):
            reached.set()
            go_on.wait(HELD)
            raise ValueError

    monkeypatch.setattr(bench.resources.rules, "entries", registry.Registry.of(Slow()).entries)
    run_id = bench.submit(sample)
    attempt = start(run_id)
    assert reached.wait(HELD)
    assert cancel(bench, run_id) < SOON
    assert_nothing_is_left(bench, run_id)
    assert attempt.is_alive()
    deadline = time.monotonic() + SOON
    while sessions_with_rows(clean_postgres_url):  # rolled back, although the rule still runs
        assert time.monotonic() < deadline
    go_on.set()
    attempt.join(SOON)
    assert bench.run(run_id).status is RunStatus.CANCELLED


def test_a_copy_that_waits_does_not_keep_the_run(bench, start, sample, monkeypatch):
    waiting = Flag()

    class Stuck(RecordWriter):
        def __init__(self, conn, run_id):
            waiting.set()
            conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 0)), pg_sleep(%s)", (run_id, HELD))

    monkeypatch.setattr("workers.validation.loading.RecordWriter", Stuck)
    run_id = bench.submit(sample)
    attempt = start(run_id)
    assert waiting.wait(HELD)
    assert cancel(bench, run_id) < SOON
    attempt.join(SOON)
    assert not attempt.is_alive()
    assert_nothing_is_left(bench, run_id)


def test_whoever_comes_first_decides(bench, start, sample, monkeypatch):
    """A cancel that comes when everything is stored still wins, one that comes after the commit changes nothing."""
    complete = leases.complete
    run_id = bench.submit(sample)

    def cancelled_first(conn, claim, **more):
        with bench.resources.database.connection() as other:
            assert runs.request_cancel(other, run_id, "local")[0].status is RunStatus.PROCESSING
        complete(conn, claim, **more)

    with monkeypatch.context() as patched:
        patched.setattr(leases, "complete", cancelled_first)
        assert bench.validate(run_id).status is RunStatus.CANCELLED
    assert bench.stored(run_id) == NOTHING
    other_id = bench.submit(sample)
    done = bench.validate(other_id)
    with bench.resources.database.connection() as conn:
        assert runs.request_cancel(conn, other_id, "local") == (done, False)
