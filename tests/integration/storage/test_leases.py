"""How runs change: leases, fencing, attempts, cancelling, and that nothing else can happen."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier
from uuid import uuid4

import psycopg
import pytest

from facnet_grpc.errors import Conflict, LeaseLost, Reason, RunCancelled, TerminalError
from facnet_grpc.model.run import TRANSITIONS, Claim, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.model.summary import DayFigures, Summary
from facnet_grpc.storage.postgres import leases, runs

SUMMARY = Summary(at_risk_cents=5, days=(DayFigures(service_date=date(2025, 1, 31), rows=3),))
ENDING = {
    "summary": SUMMARY,
    "counts": SeverityCounts(error=1, warning=2, optimization=3, info=4),
    "total_rows": 12,
    "processed_rows": 10,
    "rejected_rows": 2,
    "rule_set_version": "r1",
    "reference_version": "f1",
}
CHANGES = {
    RunStatus.COMPLETED: lambda conn, claim: leases.complete(conn, claim, **ENDING),
    RunStatus.FAILED: lambda conn, claim: leases.fail(conn, claim, TerminalError()),
    RunStatus.CANCELLED: leases.cancel,
    RunStatus.QUEUED: lambda conn, claim: leases.release(conn, claim, delay_seconds=0, count_attempt=True),
}
FENCED = {
    **{target.value: change for target, change in CHANGES.items()},
    "beat": lambda conn, claim: leases.extend(conn, claim, {}, lease_seconds=60),
    "found": lambda conn, claim: leases.set_dialect(conn, claim, encoding="utf-8", delimiter=","),
}


@pytest.fixture
def now(database):
    """The state of a run at this moment."""

    def read(run):
        with database.connection() as conn:
            return runs.get(conn, run.id)

    return read


@pytest.fixture
def change(database):
    """Does something in one transaction."""

    def do(what, *args, **kwargs):
        with database.connection() as conn:
            return what(conn, *args, **kwargs)

    return do


def expire(change):
    return change(leases.requeue_expired, max_attempts=3)


def force(database, run, status):
    """Puts a run into a state, past everything that guards it."""
    with database.connection() as conn:
        conn.execute(
            "UPDATE validation_runs SET status = %s, lease_token = %s, error_code = %s WHERE id = %s",
            (
                status.value,
                uuid4() if status is RunStatus.PROCESSING else None,
                "INTERNAL" if status is RunStatus.FAILED else None,
                run.id,
            ),
        )


def test_a_claim_counts_the_attempt_before_any_work(change, add, take, now):
    claim = take(add())
    run = now(claim.run)
    assert run == claim.run
    assert (run.status, run.phase, run.attempt) == (RunStatus.PROCESSING, RunPhase.LOADING, 1)
    assert run.started_at is not None


def test_of_many_who_claim_at_once_one_gets_the_run(database, add):
    run, start = add(), Barrier(6)

    def claim(_):
        with database.connection() as conn:
            start.wait()
            return leases.claim(conn, run.id, lease_seconds=60, max_attempts=3)

    with ThreadPoolExecutor(6) as pool:
        assert sum(found is not None for found in pool.map(claim, range(6))) == 1


@pytest.mark.parametrize("status", RunStatus)
def test_only_waiting_runs_are_claimed(database, change, add, status):
    run = add()
    force(database, run, status)
    found = change(leases.claim, run.id, lease_seconds=60, max_attempts=3)
    assert (found is not None) == (status is RunStatus.QUEUED)


def test_what_does_not_exist_is_not_claimed(change, database):
    assert change(leases.claim, uuid4(), lease_seconds=60, max_attempts=3) is None


@pytest.mark.parametrize("target", CHANGES)
@pytest.mark.parametrize("status", RunStatus)
def test_a_worker_makes_only_changes_that_exist(database, change, add, now, status, target):
    """Even with a lease that matches, as only a mistake could make it."""
    run = add()
    force(database, run, status)
    with database.connection() as conn:
        token = conn.execute("SELECT lease_token FROM validation_runs WHERE id = %s", (run.id,)).fetchone()[0]
    claim = Claim(run, token or uuid4())
    if status is RunStatus.PROCESSING:
        assert target in TRANSITIONS[status]
        change(CHANGES[target], claim)
        assert now(run).status is target
    else:
        with pytest.raises(LeaseLost):
            change(CHANGES[target], claim)
        assert now(run).status is status


@pytest.mark.parametrize("what", FENCED)
def test_who_lost_the_lease_changes_nothing(database, change, take, now, what):
    old = take(lease_seconds=-1)
    expire(change)
    new = take(old.run)
    before = now(old.run)
    with pytest.raises(LeaseLost) as caught:
        change(FENCED[what], old)
    assert caught.value.params["attempt"] == 1
    assert now(old.run) == before
    assert not change(leases.extend, new, {}, lease_seconds=60)


def test_a_completed_run_has_its_figures(change, take, now):
    claim = take()
    change(leases.set_dialect, claim, encoding="cp1252", delimiter=";")
    change(leases.complete, claim, **ENDING)
    run = now(claim.run)
    assert (run.status, run.percent, run.phase, run.bytes_parsed) == (RunStatus.COMPLETED, 100, None, 1234)
    assert (run.total_rows, run.processed_rows, run.rejected_rows) == (12, 10, 2)
    assert run.result_counts == ENDING["counts"]
    assert (run.rule_set_version, run.reference_version, run.encoding, run.delimiter) == ("r1", "f1", "cp1252", ";")
    assert run.finished_at is not None
    assert change(runs.summary, run.id) == SUMMARY


def test_a_run_ends_when_it_ends_and_not_when_its_long_transaction_began(database, take, now):
    claim = take()
    with database.connection() as conn:
        (began,) = conn.execute("SELECT now() FROM pg_sleep(0.05)").fetchone()
        leases.complete(conn, claim, **ENDING)
    assert (now(claim.run).finished_at - began).total_seconds() >= 0.05


def test_there_is_no_summary_before_the_end(change, take):
    assert change(runs.summary, take().run.id) is None
    assert change(runs.summary, uuid4()) is None


def test_a_failed_run_says_why(change, take, now):
    claim = take()
    change(leases.fail, claim, TerminalError(Reason.MISSING_COLUMNS, columns=["code", "service_date"]))
    run = now(claim.run)
    assert (run.status, run.error_code) == (RunStatus.FAILED, "MISSING_COLUMNS")
    assert run.error_params == {"columns": ["code", "service_date"]}
    assert run.finished_at is not None


def test_progress_is_stored_and_never_steps_back(change, take, now):
    claim = take()

    def beat(percent, phase=RunPhase.RULES):
        done = int(percent)
        rows = {"rows_parsed": 20, "rows_loaded": done, "rows_rejected": 2}
        progress = {"phase": phase, "percent": percent, "bytes_parsed": done, "error": done, **rows}
        assert change(leases.extend, claim, progress, lease_seconds=60) is False

    beat(50)
    beat(40)
    run = now(claim.run)
    assert (run.percent, run.phase, run.bytes_parsed, run.processed_rows) == (50, RunPhase.RULES, 50, 50)
    assert (run.total_rows, run.rejected_rows, run.result_counts.error) == (20, 2, 50)
    change(leases.extend, claim, {}, lease_seconds=60)
    assert now(claim.run) == run


def test_a_new_attempt_begins_from_nothing(change, take, now):
    claim = take()
    change(
        leases.extend, claim, {"phase": RunPhase.RULES, "percent": 80, "rows_parsed": 5, "error": 5}, lease_seconds=60
    )
    change(leases.set_dialect, claim, encoding="cp1252", delimiter=";")
    change(leases.release, claim, delay_seconds=0, count_attempt=True)
    assert now(claim.run).percent == 80
    run = take(claim.run).run
    assert (run.attempt, run.percent, run.bytes_parsed, run.processed_rows, run.encoding) == (2, 0, 0, 0, None)


def test_a_released_run_waits_for_its_time(change, take, now):
    claim = take()
    change(leases.release, claim, delay_seconds=60, count_attempt=True)
    run = now(claim.run)
    assert run.status is RunStatus.QUEUED
    assert run.next_attempt_at > run.started_at
    assert change(leases.claim, run.id, lease_seconds=60, max_attempts=3) is None


def test_an_attempt_that_is_not_counted_has_a_number_but_takes_nothing_away(change, take, now):
    claim = take(max_attempts=1)
    change(leases.release, claim, delay_seconds=0, count_attempt=False)
    again = take(claim.run, max_attempts=1)
    assert (again.run.attempt, again.run.uncounted_attempts) == (2, 1)
    change(leases.release, again, delay_seconds=0, count_attempt=True)
    assert change(leases.claim, claim.run.id, lease_seconds=60, max_attempts=1) is None


def test_a_silent_worker_loses_its_run(change, take, now):
    silent, lively = take(lease_seconds=-1), take()
    (taken,) = expire(change)
    assert (taken.id, taken.status, taken.attempt) == (silent.run.id, RunStatus.QUEUED, 1)
    assert taken.next_attempt_at is not None
    assert now(lively.run).status is RunStatus.PROCESSING
    assert expire(change) == []


def test_a_beat_keeps_the_lease(change, take):
    claim = take(lease_seconds=-1)
    change(leases.extend, claim, {}, lease_seconds=60)
    assert expire(change) == []


def test_a_run_that_kills_its_workers_fails_for_good(change, take, add):
    run = add()
    for _ in range(3):
        take(run, lease_seconds=-1)
        (taken,) = expire(change)
    assert (taken.status, taken.error_code, taken.attempt) == (RunStatus.FAILED, "WORKER_CRASHED", 3)
    assert taken.error_params == {"attempts": 3}
    assert taken.finished_at is not None


def test_a_waiting_run_without_attempts_left_fails_too(change, take):
    claim = take()
    change(leases.release, claim, delay_seconds=0, count_attempt=True)
    (taken,) = change(leases.requeue_expired, max_attempts=1)
    assert (taken.status, taken.error_code) == (RunStatus.FAILED, "ATTEMPTS_EXHAUSTED")


def test_reconcilers_do_not_wait_for_each_other(database, take):
    claims = [take(lease_seconds=-1) for _ in range(3)]
    with database.connection() as one, database.connection() as two:
        assert len(leases.requeue_expired(one, max_attempts=3)) == len(claims)
        assert leases.requeue_expired(two, max_attempts=3) == []


def test_cancelling_a_waiting_run_ends_it(change, add):
    run = add()
    cancelled, ended = change(runs.request_cancel, run.id, "local")
    assert ended
    assert cancelled.status is RunStatus.CANCELLED
    assert cancelled.finished_at is not None
    assert change(runs.request_cancel, run.id, "local") == (cancelled, False)


def test_cancelling_a_running_one_asks_its_worker(change, take, now):
    claim = take()
    asked, ended = change(runs.request_cancel, claim.run.id, "local")
    assert (asked.status, ended) == (RunStatus.PROCESSING, False)
    again, _ = change(runs.request_cancel, claim.run.id, "local")
    assert again.cancel_requested_at == asked.cancel_requested_at
    assert change(leases.extend, claim, {}, lease_seconds=60) is True
    change(leases.cancel, claim)
    assert now(claim.run).status is RunStatus.CANCELLED


def test_a_run_that_shall_stop_is_not_completed(change, take, now):
    claim = take()
    change(runs.request_cancel, claim.run.id, "local")
    with pytest.raises(RunCancelled):
        change(leases.complete, claim, **ENDING)
    assert now(claim.run).status is RunStatus.PROCESSING


def test_a_run_that_shall_stop_is_cancelled_instead_of_queued(change, take, now):
    released, silent = take(), take(lease_seconds=-1)
    for claim in (released, silent):
        change(runs.request_cancel, claim.run.id, "local")
    change(leases.release, released, delay_seconds=9, count_attempt=True)
    expire(change)
    for claim in (released, silent):
        run = now(claim.run)
        assert (run.status, run.next_attempt_at) == (RunStatus.CANCELLED, None)
        assert run.finished_at is not None


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_cancelling_an_ended_run_changes_nothing(database, change, add, now, status):
    run = add()
    force(database, run, status)
    before = now(run)
    assert change(runs.request_cancel, run.id, "local") == (before, False)


def test_a_failed_run_is_queued_again_with_all_its_attempts(change, take, now):
    claim = take(max_attempts=1)
    change(leases.extend, claim, {"phase": RunPhase.RULES, "percent": 80.0, "rows_parsed": 9}, lease_seconds=60)
    change(runs.request_cancel, claim.run.id, "local")
    change(leases.fail, claim, TerminalError(Reason.NO_USABLE_ROWS))
    waiting = change(runs.retry, now(claim.run))
    assert (waiting.status, waiting.attempt, waiting.uncounted_attempts) == (RunStatus.QUEUED, 1, 1)
    assert (waiting.error_code, waiting.finished_at, waiting.percent, waiting.total_rows) == (None, None, 0.0, 0)
    again = take(waiting, max_attempts=1)
    assert again.run.attempt == 2


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.QUEUED])
def test_only_a_failed_run_is_tried_again(database, change, add, now, status):
    run = add()
    force(database, run, status)
    before = now(run)
    with pytest.raises(Conflict) as refused:
        change(runs.retry, run)
    assert (refused.value.reason, refused.value.params["status"]) == (Reason.WRONG_STATE, status.value)
    assert now(run) == before


def test_a_file_is_deleted_or_its_run_tried_again_but_not_both(database, change, add, now):
    run = add()
    force(database, run, RunStatus.FAILED)
    failed = now(run)
    assert change(runs.forget_blob, run.id, run.blob_key)
    with pytest.raises(TerminalError) as refused:
        change(runs.retry, failed)
    assert refused.value.reason is Reason.BLOB_MISSING
    other = add()
    force(database, other, RunStatus.FAILED)
    change(runs.retry, now(other))
    assert not change(runs.forget_blob, other.id, other.blob_key)


def test_the_table_itself_refuses_a_lease_without_work(postgres_url, database, add):
    run = add()
    with psycopg.connect(postgres_url) as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("UPDATE validation_runs SET status = 'PROCESSING' WHERE id = %s", (run.id,))
