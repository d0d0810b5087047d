"""RevalidateValidation on the real port: what it requests, what it answers, and that it leaves nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import grpc
import pytest
from serving import NOWHERE, Worker, eventually, refused, submit

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.storage.postgres import revalidations

RESULT = """
    INSERT INTO {table} (run_id, result_number, rule_id, rule_version, scenario, severity, category, certainty,
        record_number, affected_records, ramq_ids, doctor_name, patient_key, at_risk_cents, potential_gain_cents, data)
    VALUES (%s, %s, %s, '1', 'duplicate', 'error', 'x', 'certain', 1, '{{1}}', '{{""}}', 'Secret, Name',
        'ZTES85010112', %s, 0, '{{}}')
"""


@pytest.fixture
def run_id(server):
    """A completed run with three results."""
    worker = Worker(server, submit(server)).start()
    worker.complete()
    with server.database.connection() as conn:
        for number, rule_id in enumerate(("a", "b", "c"), 1):
            conn.execute(RESULT.format(table="validation_results"), (worker.run_id, number, rule_id, 100))
    return worker.run_id


def revalidation_id_of(server):
    with server.database.connection() as conn:
        return next(iter(revalidations.queued(conn, older_than_seconds=0, limit=1)), None)


def judge(server, run_id):
    """Do what a worker does: `a` is gone, `b` has another amount, `d` is new."""
    revalidation_id = eventually(lambda: revalidation_id_of(server))
    with server.database.connection() as conn:
        for number, (rule_id, cents) in enumerate((("b", 200), ("c", 100), ("d", 100)), 1):
            conn.execute(RESULT.format(table="revalidated_results"), (revalidation_id, number, rule_id, cents))
        versions = {"rule_set_version": "r2", "reference_version": "v2"}
        assert revalidations.finish(conn, revalidation_id, run_id, results=3, **versions)


def call(server, run_id, timeout=10):
    return server.stub.RevalidateValidation(pb.RevalidateValidationRequest(validation_id=str(run_id)), timeout=timeout)


def left(server):
    tables = ("revalidations", "revalidated_results", "revalidation_changes")
    with server.database.connection() as conn:
        return sum(conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


def test_changes_come_in_order_redacted_and_the_sum_last(server, run_id):
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(judge, server, run_id)
        messages = list(call(server, run_id))
        working.result(10)
    *changes, last = messages
    kinds = [(message.change.kind, message.change.before.rule_id, message.change.after.rule_id) for message in changes]
    assert kinds == [
        (pb.CHANGE_KIND_GONE, "a", ""),
        (pb.CHANGE_KIND_CHANGED, "b", "b"),
        (pb.CHANGE_KIND_ADDED, "", "d"),
    ]
    assert (changes[1].change.before.at_risk.units, changes[1].change.after.at_risk.units) == (1, 2)
    summary = last.summary
    assert (summary.added, summary.gone, summary.changed, summary.unchanged) == (1, 1, 1, 1)
    assert (summary.rule_set_version_before, summary.rule_set_version_after) == ("r1", "r2")
    assert (summary.reference_version_before, summary.reference_version_after) == ("v1", "v2")
    assert "Secret" not in str(messages)
    assert "ZTES" not in str(messages)
    assert eventually(lambda: left(server) == 0)


def test_redis_is_not_needed_to_ask(make_server):
    server = make_server(redis=NOWHERE)
    worker = Worker(server, submit(server)).start()
    worker.complete(tell=False)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(judge, server, worker.run_id)  # as the reconciler's message would have a worker do
        messages = list(call(server, worker.run_id))
        working.result(10)
    assert messages[-1].summary.added == 3


def test_what_the_worker_ran_into_is_told(server, run_id):
    def fail():
        revalidation_id = eventually(lambda: revalidation_id_of(server))
        with server.database.connection() as conn:
            revalidations.fail(conn, revalidation_id, "WORKER_CRASHED")

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(fail)
        refusal = refused(lambda: list(call(server, run_id)))
        working.result(10)
    assert refusal.reason == "WORKER_CRASHED"
    assert left(server) == 1, "operators may want to see it"


def test_a_caller_who_goes_away_leaves_nothing(server, run_id):
    waiting = call(server, run_id)
    assert isinstance(eventually(lambda: revalidation_id_of(server)), UUID)
    waiting.cancel()
    assert eventually(lambda: left(server) == 0)


def test_a_caller_who_cannot_wait_is_told_so(server, run_id):
    with pytest.raises(grpc.RpcError) as caught:
        list(call(server, run_id, timeout=0.3))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert eventually(lambda: left(server) == 0)


def test_only_completed_runs_of_the_caller_can_be_judged_again(server):
    refusal = refused(lambda: list(call(server, uuid4())))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VALIDATION_NOT_FOUND")
    waiting = submit(server)
    refusal = refused(lambda: list(call(server, waiting)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert eventually(lambda: left(server) == 0)
