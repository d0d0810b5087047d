"""What callers see of runs: submitting, reading, listing, waiting."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from facnet_grpc.errors import Conflict, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.model.run import Priority, RunStatus
from facnet_grpc.storage.postgres import leases, runs
from facnet_grpc.storage.postgres.runs import RunFilter


def ids(found):
    return [run.id for run in found]


def test_what_is_stored_is_what_was_asked_for(database, new_run):
    asked = new_run(
        idempotency_key="k",
        batch_id="b",
        priority=Priority.HIGH,
        labels={"clinique": "Côte-des-Neiges"},
        rule_ids=("office_fee", "visit_time"),
        encoding_hint="cp1252",
        delimiter_hint=";",
    )
    with database.connection() as conn:
        stored, is_new = runs.insert(conn, asked)
        assert runs.get(conn, asked.id) == stored
    assert is_new
    for name in asked.__dataclass_fields__.keys() - {"webhook_url", "notify_by_mail"}:  # only the outbox needs them
        assert getattr(stored, name) == getattr(asked, name), name
    assert (stored.status, stored.attempt, stored.percent, stored.phase) == (RunStatus.QUEUED, 0, 0, None)
    assert stored.created_at.utcoffset() == timedelta(0)


def test_the_same_key_and_content_give_the_same_run(database, new_run, add):
    first = add(idempotency_key="k")
    with database.connection() as conn:
        assert runs.insert(conn, new_run(idempotency_key="k")) == (first, False)
        assert runs.find_by_key(conn, "local", "k") == first


def test_the_same_key_for_another_content_is_refused(database, new_run, add):
    add(idempotency_key="k")
    with pytest.raises(Conflict) as caught, database.connection() as conn:
        runs.insert(conn, new_run(idempotency_key="k", sha256="cd" * 32))
    assert caught.value.reason is Reason.IDEMPOTENCY_CONFLICT


def test_a_key_is_its_owners(database, new_run, add):
    add(idempotency_key="k")
    other = add(idempotency_key="k", owner="other", sha256="cd" * 32)
    with database.connection() as conn:
        assert runs.find_by_key(conn, "other", "k") == other
        assert runs.find_by_key(conn, "third", "k") is None


def test_of_many_submissions_at_once_with_one_key_one_is_new(database, new_run):
    def submit(_):
        with database.connection() as conn:
            return runs.insert(conn, new_run(idempotency_key="k"))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(submit, range(12)))
    assert sum(is_new for _, is_new in answers) == 1
    assert len({run.id for run, _ in answers}) == 1


def test_a_run_of_somebody_else_does_not_exist(database, add):
    run = add()
    with database.connection() as conn:
        assert runs.get(conn, run.id, "local") == run
        for look in (lambda: runs.get(conn, run.id, "other"), lambda: runs.request_cancel(conn, run.id, "other")):
            with pytest.raises(NotFound) as caught:
                look()
            assert caught.value.reason is Reason.VALIDATION_NOT_FOUND
        assert runs.get(conn, run.id).cancel_requested_at is None


def test_many_are_read_at_once(database, add):
    one, two = add(), add()
    with database.connection() as conn:
        assert set(ids(runs.get_many(conn, [one.id, two.id, uuid4()]))) == {one.id, two.id}
        assert runs.get_many(conn, []) == []


def test_pages_follow_each_other_newest_first(database, add):
    stored = [add().id for _ in range(7)]
    add(owner="other")
    seen, before = [], None
    with database.connection() as conn:
        while found := runs.page(conn, "local", before=before, limit=3):
            seen += ids(found)
            before = seen[-1]
    assert seen == stored[::-1]


def test_a_run_that_arrives_between_two_pages_moves_nothing(database, add):
    stored = [add().id for _ in range(4)]
    with database.connection() as conn:
        first = ids(runs.page(conn, "local", limit=2))
    add()
    with database.connection() as conn:
        assert first + ids(runs.page(conn, "local", before=first[-1], limit=2)) == stored[::-1]


def test_lists_are_filtered(database, add, take):
    plain = add(file_name="Avril 100%_été.csv")
    batch = add(batch_id="b")
    running = take(add(file_name="mai.csv")).run
    with database.connection() as conn:

        def listed(**changes):
            return set(ids(runs.page(conn, "local", RunFilter(**changes), limit=10)))

        assert listed() == {plain.id, batch.id, running.id}
        assert listed(statuses=(RunStatus.PROCESSING,)) == {running.id}
        assert listed(statuses=(RunStatus.PROCESSING, RunStatus.QUEUED)) == {plain.id, batch.id, running.id}
        assert listed(batch_id="b") == {batch.id}
        assert listed(file_name_contains="100%_é") == {plain.id}
        assert listed(file_name_contains="AVRIL") == {plain.id}
        assert listed(file_name_contains="%") == {plain.id}
        assert listed(created_from=batch.created_at) == {batch.id, running.id}
        assert listed(created_before=batch.created_at) == {plain.id}


def test_files_of_ended_runs_are_found_until_they_are_deleted(database, add, take):
    waiting, claim = add(), take()
    with database.connection() as conn:
        leases.cancel(conn, claim)
        assert ended_with_blob(conn, 60) == []
    with database.connection() as conn:
        assert ended_with_blob(conn, 0) == [(claim.run.id, claim.run.blob_key)]
        assert runs.known_blobs(conn, [waiting.blob_key, claim.run.blob_key, "nobody's"]) == {
            waiting.blob_key,
            claim.run.blob_key,
        }
        runs.clear_blob(conn, claim.run.id)
        assert ended_with_blob(conn, 0) == []
        assert runs.get(conn, claim.run.id).blob_key is None


def test_files_of_failed_runs_are_kept_longer(database, take):
    claim = take()
    with database.connection() as conn:
        leases.fail(conn, claim, TerminalError())
    with database.connection() as conn:
        assert ended_with_blob(conn, 0, failed=60) == []
        assert ended_with_blob(conn, 60, failed=0) == [(claim.run.id, claim.run.blob_key)]


def ended_with_blob(conn, seconds, failed=3600):
    return runs.ended_with_blob(conn, older_than_seconds=seconds, failed_older_than_seconds=failed, limit=9)


SKIP_INSERT = """
    CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER skip BEFORE INSERT ON validation_runs FOR EACH ROW EXECUTE FUNCTION skip()
"""


def test_a_key_whose_run_goes_away_meanwhile_is_a_passing_trouble(database, new_run):
    with database.connection() as conn, conn.transaction(force_rollback=True):
        conn.execute(SKIP_INSERT)  # no row is inserted, as after a conflict, and none is found
        with pytest.raises(TransientError):
            runs.insert(conn, new_run(idempotency_key="k"))
