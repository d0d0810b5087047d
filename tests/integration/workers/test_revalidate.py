"""A completed run is judged again: by a new reference, by other rules, and whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from facnet_grpc.model.revalidation import ChangeKind
from facnet_grpc.model.run import RunStatus
from facnet_grpc.reference.snapshot import Establishment, shipped
from facnet_grpc.rules.registry import Registry, load
from facnet_grpc.storage.postgres import deletion, locks, reference, revalidations
from workers.revalidation import MAX_ATTEMPTS, Revalidator

TABLES = ("validation_results", "billing_records", "rejected_rows", "validation_logs")


@pytest.fixture
def revalidator(bench) -> Iterator[Revalidator]:
    """A worker that judges again; what is imported is forgotten afterwards."""
    yield Revalidator(bench.resources)
    for table in ("reference_versions", "billing_codes", "establishments", "contexts"):
        bench.execute(f"DELETE FROM {table}")


@pytest.fixture
def completed(bench, sample):
    return bench.validate(bench.submit(sample))


def ask(bench, run_id):
    revalidation_id = uuid4()
    with bench.resources.database.connection() as conn:
        revalidations.insert(conn, revalidation_id, run_id)
    return revalidation_id


def answer(bench, revalidation_id):
    with bench.resources.database.connection() as conn:
        found = revalidations.get(conn, revalidation_id)
        changes = revalidations.page(conn, found, after=0, limit=10_000) if found else []
    return found, changes


def everything(bench, run_id):
    with bench.resources.database.connection() as conn:
        return [
            conn.execute(f"SELECT * FROM {table} WHERE run_id = %s ORDER BY 1, 2", (run_id,)).fetchall()
            for table in TABLES
        ]


def places_of(bench, run_id):
    with bench.resources.database.connection() as conn:
        query = "SELECT DISTINCT place FROM billing_records WHERE run_id = %s AND place IS NOT NULL"
        return [place for (place,) in conn.execute(query, (run_id,)).fetchall()]


def import_gmf(bench, run_id):
    places = {place: Establishment(place, gmf=True) for place in places_of(bench, run_id)}
    with bench.resources.database.connection() as conn:
        return reference.adopt(conn, {"establishments": places}, source="test", day=shipped_day())[0]


def shipped_day():
    return next(iter(shipped().codes.values()))[0].valid_from


def test_the_same_rules_find_the_same(bench, revalidator, completed):
    before = everything(bench, completed.id)
    asked = ask(bench, completed.id)
    revalidator.run(asked)
    found, changes = answer(bench, asked)
    assert (found.done, found.error_code, changes) == (True, None, [])
    assert (found.added, found.gone, found.changed) == (0, 0, 0)
    assert found.unchanged == sum(vars_of(completed.result_counts)) > 100
    assert (found.rule_set_version, found.reference_version) == (
        completed.rule_set_version,
        completed.reference_version,
    )
    assert everything(bench, completed.id) == before
    assert bench.run(completed.id) == completed


def vars_of(counts):
    return (counts.error, counts.warning, counts.optimization, counts.info)


def test_a_new_reference_is_used_without_a_restart(bench, revalidator, completed, sample):
    version = import_gmf(bench, completed.id)
    asked = ask(bench, completed.id)
    revalidator.run(asked)
    found, changes = answer(bench, asked)
    assert found.reference_version == version.version != completed.reference_version
    added = [change.after for change in changes if change.kind is ChangeKind.ADDED]
    assert {(one.rule_id, one.scenario) for one in added} == {("gmf_supplement", "missed")}
    assert (found.added, found.gone, found.changed) == (len(added), 0, 0) == (len(changes), 0, 0)
    assert all(one.potential_gain_cents == 935 for one in added)
    assert [change.number for change in changes] == list(range(1, len(changes) + 1))
    # So does the next run of the same worker, and what was told is what it finds.
    run = bench.validate(bench.submit(sample))
    assert run.reference_version == version.version
    assert run.result_counts.optimization == completed.result_counts.optimization + len(added)


def test_rules_that_went_and_figures_that_changed(bench, revalidator, completed, monkeypatch):
    kept = [one for one in load().entries if one.info.id != "visit_duration"]
    monkeypatch.setattr(bench.resources.rules, "entries", tuple(kept))
    bench.execute(
        "UPDATE validation_results SET at_risk_cents = at_risk_cents + 1"
        " WHERE run_id = %s AND rule_id = 'annual_visit'",
        completed.id,
    )
    asked = ask(bench, completed.id)
    revalidator.run(asked)
    found, changes = answer(bench, asked)
    kinds = {(change.kind, (change.before or change.after).rule_id) for change in changes}
    assert kinds == {(ChangeKind.GONE, "visit_duration"), (ChangeKind.CHANGED, "annual_visit")}
    assert found.gone > 0
    changed = [change for change in changes if change.kind is ChangeKind.CHANGED]
    assert len(changed) == found.changed
    for change in changed:
        assert change.before.at_risk_cents == change.after.at_risk_cents + 1
        assert replace(change.before, at_risk_cents=0, result_number=0) == replace(
            change.after, at_risk_cents=0, result_number=0
        )
    assert all(change.after is None for change in changes if change.kind is ChangeKind.GONE)


def test_only_the_rules_of_the_run_are_asked(bench, revalidator, sample):
    run = bench.validate(bench.submit(sample, rule_ids=("annual_visit", "F01")))
    asked = ask(bench, run.id)
    revalidator.run(asked)
    found, changes = answer(bench, asked)
    assert (changes, found.unchanged) == ([], sum(vars_of(run.result_counts)))


def test_a_file_without_a_column_is_still_without_it(bench, revalidator):
    header = "Date de service;Code;Montant Préliminaire;Médecin\n"
    line = "2025-02-26;19928;32,40;1234567-00000 | Roy, Anne - Médecine familiale\n"
    run = bench.validate(bench.submit((header + line).encode()))
    assert run.status is RunStatus.COMPLETED, run.error_code
    asked = ask(bench, run.id)
    revalidator.run(asked)
    found, changes = answer(bench, asked)
    assert (found.done, changes, found.error_code) == (True, [], None)


def test_one_at_a_time_and_the_next_is_sent_for(bench, revalidator, completed, redis_client):
    first, second = ask(bench, completed.id), ask(bench, completed.id)
    bench.execute("UPDATE revalidations SET asked_at = asked_at - interval '1 minute'")
    with bench.resources.database.connection() as conn:
        assert locks.try_lock(conn, locks.REVALIDATION)
        revalidator.run(first)  # somebody else is at one
        assert not answer(bench, first)[0].done
    revalidator.run(first)
    assert answer(bench, first)[0].done
    assert not answer(bench, second)[0].done
    messages = redis_client.hvals("facnet:jobs:validation.msgs")
    assert any(str(second).encode() in message for message in messages)
    assert b"ZTEST" not in b"".join(messages)


def test_a_rule_that_raises_is_told_as_in_a_run(bench, revalidator, completed, monkeypatch):
    class Raises:
        info = load().get("annual_visit").info

        def evaluate(self, lines, reference):
            raise ValueError("a cell")

    monkeypatch.setattr(bench.resources.rules, "entries", Registry.of(Raises()).entries)
    asked = ask(bench, completed.id)
    revalidator.run(asked)
    found, changes = answer(bench, asked)
    assert found.added == 1
    assert [change.after.scenario for change in changes if change.after] == ["system_error"]


def test_a_run_that_is_gone_ends_with_a_reason(bench, revalidator):
    asked = ask(bench, uuid4())
    revalidator.run(asked)
    assert answer(bench, asked)[0].error_code == "VALIDATION_NOT_FOUND"


def test_what_crashes_workers_ends(bench, revalidator, completed):
    asked = ask(bench, completed.id)
    bench.execute("UPDATE revalidations SET attempts = %s", MAX_ATTEMPTS)
    revalidator.run(asked)
    assert answer(bench, asked)[0].error_code == "WORKER_CRASHED"


def test_a_worker_that_has_to_go_leaves_it_to_another(bench, revalidator, completed):
    asked = ask(bench, completed.id)
    bench.resources.shutdown.request(0)
    revalidator.run(asked)
    found, _ = answer(bench, asked)
    assert (found.done, found.error_code) == (False, None)
    assert bench.count("revalidated_results", asked) == 0


def test_what_nobody_waits_for_leaves_nothing(bench, revalidator, completed, monkeypatch):
    asked = ask(bench, completed.id)

    def forget_first(*args, **kwargs):
        with bench.resources.database.connection() as other:
            revalidations.delete(other, [asked])
        return write(*args, **kwargs)

    write = revalidations.write
    monkeypatch.setattr(revalidations, "write", forget_first)
    revalidator.run(asked)
    assert answer(bench, asked) == (None, [])
    assert bench.count("revalidated_results", asked) == 0
    revalidator.run(uuid4())  # a message about nothing


def test_old_answers_are_forgotten(bench, revalidator, completed):
    asked = ask(bench, completed.id)
    revalidator.run(asked)
    revalidator.delete_expired()
    assert answer(bench, asked)[0].done
    bench.execute("UPDATE revalidations SET done_at = done_at - interval '1 hour'")
    revalidator.delete_expired()
    assert answer(bench, asked) == (None, [])
    assert bench.count("revalidated_results", asked) == 0


def test_a_run_that_is_deleted_takes_its_second_judgement_along(bench, revalidator, completed):
    import_gmf(bench, completed.id)
    asked = ask(bench, completed.id)
    revalidator.run(asked)
    assert answer(bench, asked)[1]
    with bench.resources.database.connection() as conn:
        deletion.take(conn, completed.id, None)
    assert answer(bench, asked) == (None, [])
    with bench.resources.database.connection() as conn:
        for table in ("revalidated_results", "revalidation_changes"):
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
