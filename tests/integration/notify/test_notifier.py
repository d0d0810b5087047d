"""From the end of a run to somebody who hears of it: once if all goes well, again if not, and never for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from threading import Event
from uuid import uuid4

import pytest
import structlog
from prometheus_client import REGISTRY
from receivers import CANARY

from facnet_grpc.errors import TransientError
from facnet_grpc.model.notification import DeliveryOutcome
from facnet_grpc.model.run import NewRun
from facnet_grpc.settings import Settings
from facnet_grpc.storage.postgres import runs
from workers.notifier import CONCURRENCY, Notifier, delivery_backoff

SECRET = "s3cret-of-the-address"
PATIENCE = 10.0


@pytest.fixture
def settings(clean_postgres_url, tmp_path, hooks):
    return Settings.of(
        database_url=clean_postgres_url,
        redis_url="redis://127.0.0.1:1",
        blob_dir=tmp_path,
        pseudonym_key="x" * 32,
        webhook_keys="k" * 32,
        webhook_hosts=f"127.0.0.1:{hooks.port}",
        webhook_loopback=True,
    )


@pytest.fixture
def cancel(database, hooks):
    """Ends a run that somebody wants to hear of; returns it."""

    def end(**changes):
        usual = {
            "id": uuid4(),
            "owner": "local",
            "file_name": "claims.csv",
            "size_bytes": 1,
            "sha256": "ab" * 32,
            "blob_key": "x",
            "webhook_url": f"http://127.0.0.1:{hooks.port}/?token={SECRET}",
        }
        new = NewRun(**usual | changes)
        with database.connection() as conn:
            runs.insert(conn, new)
            runs.request_cancel(conn, new.id, "local")
        return new.id

    return end


@pytest.fixture
def rows(database):
    def read():
        with database.connection() as conn:
            query = "SELECT id, attempts, outcome, ended_at, due_at - clock_timestamp() FROM notifications"
            return conn.execute(f"{query} ORDER BY created_at").fetchall()

    return read


@pytest.fixture
def make_due(database):
    def change(created=timedelta()):
        with database.connection() as conn:
            conn.execute("UPDATE notifications SET due_at = now(), created_at = created_at - %s", (created,))

    return change


def round_of(settings, database, **options):
    one = Notifier(settings.notify, database, **options)
    one.send_due()
    one.wait()


def counted(outcome, channel="webhook"):
    labels = {"channel": channel, "outcome": outcome}
    return REGISTRY.get_sample_value("facnet_notifications_total", labels) or 0.0


def test_it_is_said_once(settings, database, hooks, cancel, rows):
    run_id, before = cancel(), counted("sent")
    for _ in range(2):
        round_of(settings, database)
    (got,) = hooks.received
    ((notification_id, attempts, outcome, ended_at, _),) = rows()
    assert (got.event["id"], got.event["subject"]) == (str(notification_id), str(run_id))
    assert got.event["type"] == "facnet.validation.cancelled"
    assert (attempts, outcome) == (1, DeliveryOutcome.SENT)
    assert ended_at is not None
    assert counted("sent") == before + 1


def test_a_receiver_that_fails_is_told_again_under_the_same_id(settings, database, hooks, cancel, rows, make_due):
    cancel()
    hooks.answers = [500, hooks.never, hooks.hang_up]
    for seconds in (10, 0.3, 10, 10):
        round_of(settings.replace(webhook_timeout_seconds=seconds), database)
        make_due()
    assert len({got.event["id"] for got in hooks.received}) == 1
    assert len({got.body for got in hooks.received}) == 1
    ((_, attempts, outcome, *_),) = rows()
    assert (len(hooks.received), attempts, outcome) == (4, 4, DeliveryOutcome.SENT)


def test_the_waits_grow(settings, database, hooks, cancel, rows, make_due):
    cancel()
    waits = []
    for _ in range(3):
        hooks.answers = [503]
        round_of(settings, database)
        ((*_, due_in),) = rows()
        waits.append(due_in.total_seconds())
        make_due()
    for wait, longest in zip(waits, (5, 10, 20), strict=True):
        assert longest / 2 - 5 < wait <= longest  # some time has gone by since
    assert all(delivery_backoff(attempt) <= 3600 for attempt in (1, 12, 10_000))


def test_it_is_given_up_after_a_while_and_said_so(settings, database, hooks, cancel, rows, make_due):
    cancel()
    make_due(created=timedelta(days=1))
    hooks.answers = [500]
    before = counted("given_up")
    with structlog.testing.capture_logs() as said:
        round_of(settings, database)
    ((_, _, outcome, *_),) = rows()
    assert outcome == DeliveryOutcome.GIVEN_UP
    assert counted("given_up") == before + 1
    (line,) = [line for line in said if line["event"] == "notification_given_up"]
    assert (line["log_level"], line["problem"]) == ("error", "status_500")


def test_what_is_not_allowed_any_more_is_refused(settings, database, hooks, cancel, rows):
    cancel()
    round_of(settings.replace(webhook_hosts="elsewhere.example"), database)
    ((_, _, outcome, *_),) = rows()
    assert (outcome, hooks.received) == (DeliveryOutcome.REFUSED, [])


def test_logs_hold_neither_the_address_nor_the_answer(settings, database, hooks, cancel, make_due, caplog):
    cancel(file_name=f"{CANARY}.csv", labels={"x": CANARY}, batch_id=CANARY)
    hooks.answers = [500, hooks.rubbish, hooks.hang_up, lambda handler: hooks.answer(handler, 302, Location=CANARY)]
    caplog.set_level("DEBUG")
    with structlog.testing.capture_logs() as said:
        for _ in range(5):
            round_of(settings, database)
            make_due()
    assert len(hooks.received) == 5
    text = repr(said) + caplog.text
    assert "notification_postponed" in text
    assert SECRET not in text
    assert CANARY not in text
    assert all(CANARY.encode() not in got.body for got in hooks.received)


def test_a_defect_of_ours_loses_nothing(settings, database, cancel, rows):
    cancel()

    def broken(_):
        raise ZeroDivisionError(SECRET)

    with structlog.testing.capture_logs() as said:
        round_of(settings, database, senders={"webhook": broken})
    ((_, attempts, outcome, *_),) = rows()
    assert (attempts, outcome) == (1, None)
    assert said[0]["problem"] == "ZeroDivisionError"
    assert SECRET not in repr(said)


def test_two_workers_do_not_say_the_same(settings, database, hooks, cancel, rows):
    for _ in range(6):
        cancel()
    several = [Notifier(settings.notify, database) for _ in range(3)]
    for one in several:
        one.send_due()
    for one in several:
        one.wait()
    assert sorted(got.event["id"] for got in hooks.received) == sorted(str(row[0]) for row in rows())


def test_only_so_many_are_sent_at_once(settings, database, cancel, rows):
    for _ in range(CONCURRENCY + 1):
        cancel()
    held, hold = [], Event()
    one = Notifier(settings.notify, database, senders={"webhook": lambda got: held.append(got) or hold.wait(PATIENCE)})
    one.send_due()
    one.send_due()
    assert sum(attempts for _, attempts, *_ in rows()) == CONCURRENCY
    hold.set()
    one.wait()
    one.send_due()
    one.wait()
    assert len(held) == CONCURRENCY + 1


KILLED = """
import sys
from facnet_grpc.settings import Settings
from facnet_grpc.storage import factory
from workers.notifier import Notifier
settings = Settings.from_env()
with factory.database(settings.storage, "x") as database:
    one = Notifier(settings.notify, database, lease_seconds=0.1)
    one.send_due()
    one.wait()
"""


def test_a_worker_that_dies_before_it_takes_note_leaves_it_to_another(
    settings, database, hooks, cancel, rows, tmp_path
):
    cancel()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.storage.database_url.get_secret_value(),
        "REDIS_URL": "redis://127.0.0.1:1",
        "FACNET_BLOB_DIR": str(tmp_path),
        "FACNET_PSEUDONYM_KEY": "x" * 32,
        "FACNET_BLOB_KEY": "b" * 32,
        "FACNET_WEBHOOK_KEYS": "k" * 32,
        "FACNET_WEBHOOK_HOSTS": settings.notify.webhook_hosts,
        "FACNET_WEBHOOK_LOOPBACK": "true",
        "FACNET_FAULTS": "worker.notification.sent=kill",
        "FACNET_FAULTS_STATE": str(tmp_path / "faults"),
    }
    command = [sys.executable, "-c", KILLED]
    died = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    ((_, attempts, outcome, *_),) = rows()
    assert (len(hooks.received), attempts, outcome) == (1, 1, None)
    while not rows()[0][2]:  # until the lease of the dead one is over
        round_of(settings, database)
    first, second = hooks.received
    assert first.event == second.event
    assert rows()[0][1:3] == (2, DeliveryOutcome.SENT)


def test_the_thread_finds_what_is_owed_and_tells_prometheus(settings, database, hooks, cancel):
    one = Notifier(settings.notify, database, poll_seconds=0.02)
    one.open()
    try:
        cancel()
        hooks.wait_for(1)
    finally:
        one.close()
    one.update_metrics()
    assert REGISTRY.get_sample_value("facnet_notifications_pending") == 0
    with database.connection() as conn:
        conn.execute("UPDATE notifications SET ended_at = NULL, created_at = now() - interval '1 hour'")
    one.update_metrics()
    assert REGISTRY.get_sample_value("facnet_notifications_pending") == 1
    assert REGISTRY.get_sample_value("facnet_notifications_age_seconds") >= 3600


def test_while_postgres_is_away_the_thread_goes_on(settings, database, hooks, cancel):
    failures = [ZeroDivisionError(), TransientError()]

    class Away:
        def connection(self, **options):
            if failures:
                raise failures.pop()
            return database.connection(**options)

    one = Notifier(settings.notify, Away(), poll_seconds=0.02)
    one.open()
    try:
        cancel()
        hooks.wait_for(1)
    finally:
        one.close()


def test_old_ones_are_forgotten(settings, database, cancel, rows):
    cancel()
    with database.connection() as conn:
        conn.execute("UPDATE notifications SET ended_at = now() - interval '8 days', outcome = 'sent'")
    Notifier(settings.notify, database).delete_old()
    assert rows() == []
