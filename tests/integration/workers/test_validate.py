"""An attempt on real servers: what a good file leaves, and that a bad end leaves nothing."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest

from facnet_grpc.errors import TransientError
from facnet_grpc.events.stream import RedisEvents, connect
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE, JobQueue, make_broker
from facnet_grpc.model.result import FINDING_SCHEMA, Certainty, Severity
from facnet_grpc.model.run import Priority, RunStatus
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.registry import Registry
from facnet_grpc.storage.postgres import leases, results, run_log, runs
from facnet_grpc.storage.postgres.records import RecordWriter
from workers.validation.job import validate

HEADER = "Facture;ID RAMQ;Date de Service;Code;Montant Preliminaire;Montant payé;Doctor Info;Patient\r\n"
LINE = (
    "123456789;12345678901;2025-02-26;15804;49,15;49,15;"
    "1234567-12345 | Tremblant, Zoe - Omni;ZTES85010112 - ZTEST, ANA\r\n"
)
END_COPY = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY \"billing%'"
PHI = (b"Tremblant", b"ZTEST", b"ZTES85010112")
NOTHING = {"billing_records": 0, "rejected_rows": 0, "validation_results": 0}


def small(lines=20):
    return (HEADER + LINE * lines).encode("latin-1")


class FakeRule:
    """Finds one thing, or raises with a cell in its text."""

    def __init__(self, name, raises=False):
        self.info = RuleInfo(
            name, "1", "test", Certainty.CERTAIN, (Severity.ERROR,), ("found",), ("code",), "a test", ()
        )
        self._raises = raises

    def evaluate(self, lines, reference):
        if self._raises:
            raise ValueError("ZTEST, ANA")
        row = {
            "scenario": "found",
            "severity": "error",
            "affected_records": [1],
            "doctor_key": None,
            "patient_key": None,
            "service_date": date(2025, 2, 26),
            "at_risk_cents": 4915,
            "potential_gain_cents": 0,
            "risk_records": [1],
            "risk_cents": [4915],
            "data": "{}",
        }
        return RuleFindings(pa.Table.from_pylist([row], schema=FINDING_SCHEMA), MappingProxyType({"found": 3}))


@pytest.fixture
def rules(resources, monkeypatch):
    """One rule that finds something and one that raises."""
    fakes = Registry.of(FakeRule("finds"), FakeRule("raises", raises=True))
    monkeypatch.setattr(resources.rules, "entries", fakes.entries)


def test_the_sample_is_validated_from_claim_to_end(bench, sample):
    run_id = bench.submit(sample)
    run = bench.validate(run_id)
    assert (run.status, run.percent, run.attempt, run.error_code) == (RunStatus.COMPLETED, 100.0, 1, None)
    assert run.total_rows == run.processed_rows + run.rejected_rows
    assert run.processed_rows == bench.count("billing_records", run_id) > 4000
    assert bench.count("validation_results", run_id) == sum(vars_of(run.result_counts))
    assert (run.encoding, run.delimiter) != (None, None)
    assert run.rule_set_version
    assert run.reference_version
    with bench.resources.database.connection() as conn:
        assert runs.summary(conn, run_id).days
        assert [entry.event for entry in run_log.page(conn, run_id, limit=9)] == ["file_understood", "completed"]


def vars_of(counts):
    return (counts.error, counts.warning, counts.optimization, counts.info)


def test_its_file_is_deleted(bench):
    run = bench.validate(bench.submit(small()))
    assert run.blob_key is None
    assert bench.blobs() == set()


def test_watchers_hear_of_it_without_a_step_back(bench, sample):
    run_id = bench.submit(sample)
    bench.validate(run_id)
    told = bench.events(run_id)
    percents = [event.progress.percent for event in told]
    assert percents == sorted(percents)
    assert [event.status.is_terminal for event in told] == [False] * (len(told) - 1) + [True]
    assert (told[-1].status, percents[-1]) == (RunStatus.COMPLETED, 100.0)


def test_a_rule_that_raises_costs_only_its_own_results(bench, rules):
    run_id = bench.submit(small())
    run = bench.validate(run_id)
    assert run.status is RunStatus.COMPLETED
    with bench.resources.database.connection() as conn:
        found = [(result.rule_id, result.scenario) for result in results.page(conn, run_id, limit=10)]
        summary = runs.summary(conn, run_id)
    assert found == [("finds", "found"), ("raises", "system_error")]
    assert summary.at_risk_cents == 4915
    assert [(figures.scenario, figures.count) for figures in summary.passes] == [("found", 3)]


def test_results_of_any_number_are_stored(bench, rules):
    bench.resources = replace(bench.resources, results_per_copy=1)
    run_id = bench.submit(small())
    bench.validate(run_id)
    assert bench.count("validation_results", run_id) == 2


def test_only_the_rules_asked_for_are_run(bench, rules):
    run_id = bench.submit(small(), rule_ids=("finds",))
    bench.validate(run_id)
    assert bench.count("validation_results", run_id) == 1


def test_rejected_rows_are_stored_and_counted(bench):
    bad = LINE.replace("2025-02-26", "never")
    run_id = bench.submit((HEADER + LINE * 20 + bad * 3).encode("latin-1"))
    run = bench.validate(run_id)
    assert (run.processed_rows, run.rejected_rows, run.total_rows) == (20, 3, 23)
    assert bench.count("rejected_rows", run_id) == 3
    with bench.resources.database.connection() as conn:
        assert [(r.reason, r.count) for r in runs.summary(conn, run_id).rejections] == [("bad_date", 3)]


def test_nothing_of_a_person_gets_into_redis(bench, rules, redis_client, held):
    run_id = bench.submit((HEADER + LINE * 20 + LINE.replace("49,15", "x")).encode("latin-1"))
    bench.validate(run_id)
    assert list(dump(redis_client))
    for entry in dump(redis_client):
        assert not any(secret in entry for secret in PHI)


def dump(client):
    for key in client.scan_iter():
        yield client.dump(key)


BAD_FILES: Mapping[str, tuple[str, bytes]] = {
    "an image": ("NOT_A_CSV", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20),
    "only a header": ("HEADER_ONLY", HEADER.encode("latin-1")),
    "no amount": (
        "MISSING_COLUMNS",
        b"Date de Service;Code;Doctor Info\r\n2025-02-26;15804;1234567-12345 | A, B - C\r\n",
    ),
    "no usable row": ("NO_USABLE_ROWS", (HEADER + LINE.replace("49,15;49,15", "x;y") * 5).encode("latin-1")),
    "a broken archive": ("CORRUPT_ARCHIVE", gzip.compress(small(2000))[:-40]),
}


@pytest.mark.parametrize(("code", "content"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_validated_fails_at_once(bench, code, content):
    run_id = bench.submit(content)
    run = bench.validate(run_id)
    assert (run.status, run.error_code, run.attempt) == (RunStatus.FAILED, code, 1)
    assert bench.stored(run_id) == NOTHING
    assert bench.blobs() == {run.blob_key}  # kept, so that it can be tried again
    assert bench.events(run_id)[-1].status is RunStatus.FAILED


def test_a_file_that_is_gone_fails_the_run(bench):
    run_id = bench.submit(small())
    bench.resources.blobs.delete(bench.run(run_id).blob_key)
    assert bench.validate(run_id).error_code == "BLOB_MISSING"


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[: len(stored) // 2],
        lambda stored: b"",
        lambda stored: stored[:100] + bytes([stored[100] ^ 1]) + stored[101:],
        lambda stored: stored[:-60] + bytes([stored[-60] ^ 1]) + stored[-59:],
    ],
    ids=["its end cut off", "its half", "nothing", "a bit of its beginning", "a bit of its end"],
)
def test_a_file_that_somebody_has_been_at_fails_the_run(bench, settings, sample, change):
    run_id = bench.submit(sample)
    path = settings.storage.blob_dir / "blobs" / bench.run(run_id).blob_key
    path.write_bytes(change(path.read_bytes()))
    run = bench.validate(run_id)
    assert (run.status, run.error_code, run.attempt) == (RunStatus.FAILED, "BLOB_DAMAGED", 1)
    assert bench.stored(run_id) == NOTHING


def test_a_run_without_a_file_fails(bench):
    run_id = bench.submit(small())
    bench.execute("UPDATE validation_runs SET blob_key = NULL WHERE id = %s", run_id)
    assert bench.validate(run_id).error_code == "BLOB_MISSING"


def test_a_rule_that_no_longer_exists_fails_the_run(bench):
    run = bench.validate(bench.submit(small(), rule_ids=("gone",)))
    assert (run.status, run.error_code) == (RunStatus.FAILED, "INVALID_ARGUMENT")


def test_what_nobody_waits_for_is_not_worked_on(bench):
    run_id = bench.submit(small())
    first = bench.validate(run_id)
    again = bench.validate(run_id)
    assert first == again
    validate(bench.resources, uuid4())


def test_a_message_takes_whatever_is_first_in_line(bench):
    normal, high = bench.submit(small()), bench.submit(small(), priority=Priority.HIGH)
    for expected in (high, normal):
        validate(bench.resources, normal)
        assert bench.run(expected).status is RunStatus.COMPLETED
        if expected == high:
            assert bench.run(normal).status is RunStatus.QUEUED


def test_a_cancel_while_loading_ends_the_run_soon(bench, held):
    run_id = bench.submit(small())
    with held(run_id) as attempt, bench.resources.database.connection() as conn:
        runs.request_cancel(conn, run_id, "local")
        conn.commit()
        attempt.join()  # well before the reader goes on by itself
    assert bench.run(run_id).status is RunStatus.CANCELLED
    assert bench.stored(run_id) == NOTHING
    assert bench.blobs() == set()
    assert bench.events(run_id)[-1].status is RunStatus.CANCELLED


def test_a_cancel_that_the_heartbeat_did_not_see_still_wins(bench, held):
    run_id = bench.submit(small())
    with held(run_id) as attempt:
        bench.execute("UPDATE validation_runs SET cancel_requested_at = now() WHERE id = %s", run_id)
        attempt.finish()
    assert bench.run(run_id).status is RunStatus.CANCELLED
    assert bench.stored(run_id) == NOTHING


def test_a_worker_whose_lease_was_taken_stores_nothing_and_the_other_everything_once(bench, held):
    run_id = bench.submit(small())
    with held(run_id) as frozen:
        with bench.resources.database.connection() as conn:  # one transaction: no heartbeat comes between
            conn.execute("UPDATE validation_runs SET lease_expires_at = now() - interval '1 second'")
            assert [run.status for run in leases.requeue_expired(conn, max_attempts=3)] == [RunStatus.QUEUED]
        run = bench.validate(run_id)
        frozen.finish()
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 2)
    assert bench.run(run_id) == run
    assert bench.count("billing_records", run_id) == 20


def test_a_copy_that_postgres_refuses_is_tried_again_and_then_fails(bench):
    run_id = bench.submit(small())
    bench.execute(
        "INSERT INTO billing_records (run_id, record_number, service_date, code, preliminary_cents, doctor_key)"
        " VALUES (%s, 7, '2025-01-01', '15804', 1, '1234567')",
        run_id,
    )
    run = bench.validate(run_id)
    assert (run.status, run.attempt) == (RunStatus.QUEUED, 1)
    assert run.next_attempt_at is not None
    assert bench.count("billing_records", run_id) == 1
    for _ in range(2):
        bench.execute("UPDATE validation_runs SET next_attempt_at = now() WHERE id = %s", run_id)
        run = bench.validate(run_id)
    assert (run.status, run.error_code, run.attempt) == (RunStatus.FAILED, "ATTEMPTS_EXHAUSTED", 3)
    assert bench.blobs() == {run.blob_key}
    with bench.resources.database.connection() as conn:
        told = repr(run_log.page(conn, run_id, limit=20)).encode()
    assert not any(secret in told for secret in PHI)


def test_a_connection_that_breaks_in_the_middle_costs_one_attempt_and_no_row(bench, held, postgres_server):
    run_id = bench.submit(small())
    with held(run_id) as attempt:
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            while not admin.execute(END_COPY).fetchall():
                pass
        attempt.finish()
    assert (bench.run(run_id).status, bench.stored(run_id)) == (RunStatus.QUEUED, NOTHING)
    bench.execute("UPDATE validation_runs SET next_attempt_at = now() WHERE id = %s", run_id)
    run = bench.validate(run_id)
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 2)
    assert bench.count("billing_records", run_id) == 20


def test_a_bug_is_tried_again_and_its_text_is_told_nobody(bench, monkeypatch, capfd):
    def write(self, batch):
        raise ValueError("ZTEST, ANA")

    run_id = bench.submit(small())
    monkeypatch.setattr(RecordWriter, "write", write)
    run = bench.validate(run_id)
    assert (run.status, bench.stored(run_id)) == (RunStatus.QUEUED, NOTHING)
    assert "ZTEST" not in "".join(capfd.readouterr())


def test_shutdown_gives_the_run_back_at_once_and_counts_nothing(bench, held, redis_client):
    run_id = bench.submit(small())
    with held(run_id) as attempt:
        bench.resources.shutdown.request(0.0)
        attempt.join()
    run = bench.run(run_id)
    assert (run.status, run.uncounted_attempts) == (RunStatus.QUEUED, 1)
    assert bench.stored(run_id) == NOTHING
    assert bench.blobs() == {run.blob_key}
    assert redis_client.llen(f"{NAMESPACE}:{QUEUE}") == 1


def test_without_redis_the_work_goes_on(bench):
    away = RedisEvents(connect("redis://127.0.0.1:1"))
    bench.resources = replace(bench.resources, events=away)
    assert bench.validate(bench.submit(small())).status is RunStatus.COMPLETED


def test_a_lost_lease_is_noticed_and_the_run_left_alone(bench, held):
    run_id = bench.submit(small())
    with held(run_id) as attempt:
        bench.execute("UPDATE validation_runs SET lease_token = gen_random_uuid() WHERE id = %s", run_id)
        before = bench.run(run_id)
        attempt.join()
    assert bench.run(run_id) == before
    assert bench.stored(run_id) == NOTHING


def test_a_lease_that_is_lost_at_the_last_moment_is_worth_nothing(bench, monkeypatch):
    def taken(*_, **__):
        bench.execute("UPDATE validation_runs SET lease_token = gen_random_uuid() WHERE id = %s", run_id)
        raise ValueError

    run_id = bench.submit(small())
    monkeypatch.setattr("workers.validation.attempt.run_rules", taken)
    assert bench.validate(run_id).status is RunStatus.PROCESSING
    assert bench.stored(run_id) == NOTHING


def test_shutdown_without_redis_leaves_the_message_to_the_reconciler(bench, held):
    bench.resources = replace(bench.resources, queue=JobQueue(make_broker("redis://127.0.0.1:1")))
    run_id = bench.submit(small())
    with held(run_id) as attempt:
        bench.resources.shutdown.request(0.0)
        attempt.join()
    assert bench.run(run_id).status is RunStatus.QUEUED


def test_a_file_that_cannot_be_deleted_is_left_to_retention(bench, monkeypatch):
    def refuse(*_):
        raise TransientError

    monkeypatch.setattr(type(bench.resources.blobs), "delete", refuse)
    run = bench.validate(bench.submit(small()))
    assert (run.status, bench.blobs()) == (RunStatus.COMPLETED, {run.blob_key})


def test_not_even_a_bug_in_settling_gets_out(bench, monkeypatch):
    def fail(*_):
        raise ValueError("ZTEST, ANA")

    run_id = bench.submit(b"")
    monkeypatch.setattr("workers.validation.finalize.fail", fail)
    validate(bench.resources, run_id)
    assert bench.run(run_id).status is RunStatus.PROCESSING


class Away:
    """A PostgreSQL that goes away after some transactions."""

    def __init__(self, database, after):
        self._database, self._left = database, after

    def connection(self, **options):
        self._left -= 1
        if self._left < 0:
            raise TransientError
        return self._database.connection(**options)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_without_postgres_the_run_is_left_to_the_reconciler(bench, after):
    run_id = bench.submit(small())
    validate(replace(bench.resources, database=Away(bench.resources.database, after)), run_id)
    assert not bench.run(run_id).status.is_terminal
    assert bench.stored(run_id) == NOTHING
    assert len(bench.blobs()) == 1
