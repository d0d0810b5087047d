"""Whichever way a run ends, what is owed is committed with it; and each is one worker's at a time."""

from __future__ import annotations

import json

import pytest

from facnet_grpc.errors import LeaseLost, NotFound, Reason, TerminalError
from facnet_grpc.model.notification import Channel, DeliveryOutcome
from facnet_grpc.model.run import RunStatus, SeverityCounts
from facnet_grpc.model.summary import Summary
from facnet_grpc.storage.postgres import deletion, leases, outbox, runs

URL = "https://hooks.example.org/facnet?token=s3cret"
WANTED = {"webhook_url": URL, "notify_by_mail": True}
SECRETS = {
    "file_name": "CANARY Tremblay.csv",
    "labels": {"CANARY": "CANARY"},
    "batch_id": "CANARY",
    "idempotency_key": "CANARY",
}
COMPLETED = {
    "summary": Summary(),
    "counts": SeverityCounts(1, 2, 3, 4),
    "total_rows": 12,
    "processed_rows": 10,
    "rejected_rows": 2,
    "rule_set_version": "r",
    "reference_version": "v",
}


@pytest.fixture
def change(database):
    def do(function, *args, **options):
        with database.connection() as conn:
            return function(conn, *args, **options)

    return do


@pytest.fixture
def owed(change):
    def take(lease_seconds=60.0, limit=10):
        found = change(outbox.claim, lease_seconds=lease_seconds, limit=limit)
        return sorted(found, key=lambda one: one.channel)

    return take


def complete(change, claim):
    change(leases.complete, claim, **COMPLETED)


def fail(change, claim):
    change(leases.fail, claim, TerminalError(Reason.MISSING_COLUMNS, columns=["code"]))


def release_cancelled(change, claim):
    change(runs.request_cancel, claim.run.id, "local")
    change(leases.release, claim, delay_seconds=0, count_attempt=True)


def cancel_at_work(change, claim):
    change(runs.request_cancel, claim.run.id, "local")
    change(leases.cancel, claim)


def cancel_waiting(change, claim):
    change(leases.release, claim, delay_seconds=0, count_attempt=True)
    change(runs.request_cancel, claim.run.id, "local")


def crash(change, claim):
    change(leases.extend, claim, {}, lease_seconds=-1)
    change(leases.requeue_expired, max_attempts=1)


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (complete, RunStatus.COMPLETED, None),
        (fail, RunStatus.FAILED, "MISSING_COLUMNS"),
        (release_cancelled, RunStatus.CANCELLED, None),
        (cancel_at_work, RunStatus.CANCELLED, None),
        (cancel_waiting, RunStatus.CANCELLED, None),
        (crash, RunStatus.FAILED, "WORKER_CRASHED"),
    ],
)
def test_every_end_is_owed_once_by_each_way(change, owed, add, take, end, status, code):
    claim = take(add(**WANTED, **SECRETS))
    assert owed() == []
    end(change, claim)
    mail, webhook = owed()
    assert (mail.channel, webhook.channel) == (Channel.MAIL, Channel.WEBHOOK)
    assert (mail.url, webhook.url) == (None, URL)
    assert mail.data == webhook.data
    assert mail.id != webhook.id
    for one in (mail, webhook):
        assert (one.run_id, one.owner, one.status, one.attempt) == (claim.run.id, "local", status, 1)
    assert "CANARY" not in json.dumps(dict(mail.data))
    assert "s3cret" not in repr(webhook)
    assert mail.data.get("error_code") == code
    counted = ("total_rows", "processed_rows", "rejected_rows", "result_counts")
    assert [name in mail.data for name in counted] == [status is RunStatus.COMPLETED] * 4


def test_what_is_said_of_a_completed_run_is_ids_and_counts(change, owed, add, take):
    claim = take(add(webhook_url=URL))
    complete(change, claim)
    (one,) = owed()
    assert one.data == {
        "validation_id": str(claim.run.id),
        "job_id": f"validation-{claim.run.id}",
        "status": "COMPLETED",
        "attempt": 1,
        "total_rows": 12,
        "processed_rows": 10,
        "rejected_rows": 2,
        "result_counts": {"error": 1, "warning": 2, "optimization": 3, "info": 4},
    }


def test_nobody_who_did_not_ask_is_told(change, owed, take):
    complete(change, take())
    assert owed() == []


def test_an_end_that_is_rolled_back_is_never_announced(database, owed, add, take):
    claim = take(add(**WANTED))

    def end_and_break() -> None:
        with database.connection() as conn:
            leases.complete(conn, claim, **COMPLETED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        end_and_break()
    assert owed() == []


def test_a_worker_that_lost_its_lease_announces_nothing(change, owed, add, take):
    claim = take(add(**WANTED), lease_seconds=-1)
    change(leases.requeue_expired, max_attempts=3)
    with pytest.raises(LeaseLost):
        complete(change, claim)
    assert owed() == []


def test_each_end_of_a_run_that_is_tried_again_is_an_event_of_its_own(change, owed, add, take):
    claim = take(add(webhook_url=URL))
    fail(change, claim)
    change(runs.retry, change(runs.get, claim.run.id))
    complete(change, take(claim.run))
    first, second = sorted(owed(), key=lambda one: one.created_at)
    assert (first.status, second.status) == (RunStatus.FAILED, RunStatus.COMPLETED)
    assert first.id != second.id


def test_what_is_owed_is_one_workers_at_a_time(database, change, owed, add, take):
    for _ in range(2):
        complete(change, take(add(webhook_url=URL)))
    with database.connection() as one, database.connection() as two:
        mine = outbox.claim(one, lease_seconds=60, limit=1)
        theirs = outbox.claim(two, lease_seconds=60, limit=9)
    assert len(mine) == len(theirs) == 1
    assert mine[0].id != theirs[0].id
    assert owed() == []


def test_after_the_lease_somebody_else_tries_and_the_first_one_has_no_say(change, owed, add, take):
    complete(change, take(add(webhook_url=URL)))
    (silent,) = owed(lease_seconds=0)
    (other,) = owed()
    assert (other.id, other.attempt, other.age_seconds >= silent.age_seconds) == (silent.id, 2, True)
    change(outbox.postpone, silent, 0)
    change(outbox.finish, silent, DeliveryOutcome.GIVEN_UP)
    assert owed() == []  # still the other's
    change(outbox.finish, other, DeliveryOutcome.SENT)
    assert change(outbox.count_pending) == (0, 0.0)


def test_what_was_never_tried_comes_first(change, owed, add, take):
    complete(change, take(add(webhook_url=URL)))
    (tried,) = owed()
    complete(change, take(add(webhook_url=URL)))
    change(outbox.postpone, tried, -3600)
    (first,) = owed(limit=1)
    assert first.id != tried.id
    count, age = change(outbox.count_pending)
    assert count == 2
    assert age > 0


def test_they_are_forgotten_after_a_while_or_with_their_run(change, owed, add, take):
    for _ in range(2):
        complete(change, take(add(webhook_url=URL)))
    sent, waiting = owed()
    change(outbox.finish, sent, DeliveryOutcome.SENT)
    assert change(outbox.delete_finished, older_than_seconds=60, limit=9) == 0
    assert change(outbox.delete_finished, older_than_seconds=-1, limit=9) == 1
    change(deletion.take, waiting.run_id, "local")
    assert change(outbox.count_pending) == (0, 0.0)
    with pytest.raises(NotFound):
        change(runs.get, waiting.run_id)
