"""Rules of a run that are evaluated at once: those of an attempt, and of a revalidation."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier
from uuid import uuid4

import pytest

from facnet_grpc.model.result import FINDING_SCHEMA, Certainty, Severity
from facnet_grpc.model.run import RunStatus
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.registry import Registry
from facnet_grpc.storage.postgres import revalidations
from workers.revalidation import Revalidator

SOON = 30.0  # seconds after which a test has failed; nothing waits that long


class Meeting:
    """A rule that finds nothing and ends when the other one is there."""

    def __init__(self, name, barrier, met):
        self.info = RuleInfo(name, "1", "test", Certainty.CERTAIN, (Severity.ERROR,), ("found",), (), "a test")
        self.barrier, self.met = barrier, met

    def evaluate(self, lines, reference):
        self.barrier.wait(SOON)
        self.met.append(self.info.id)
        return RuleFindings(FINDING_SCHEMA.empty_table())


@pytest.fixture
def met(bench):
    """The names of rules that have met another one; no file is too small."""
    names, barrier = [], Barrier(2)
    rules = Registry.of(*(Meeting(name, barrier, names) for name in ("a_rule", "b_rule")))
    bench.resources = replace(bench.resources, rules=rules, min_parallel_lines=0)
    return names


def test_two_rules_of_an_attempt_and_of_a_revalidation_are_evaluated_at_once(bench, sample, met):
    run = bench.validate(bench.submit(sample))
    assert run.status is RunStatus.COMPLETED
    assert sorted(met) == ["a_rule", "b_rule"]
    with bench.resources.database.connection() as conn:
        revalidations.insert(conn, asked := uuid4(), run.id)
    Revalidator(bench.resources).run(asked)
    assert sorted(met) == ["a_rule", "a_rule", "b_rule", "b_rule"]


def test_as_many_as_there_are_threads_find_what_one_finds(bench, sample):
    alone = bench.submit(sample)
    bench.validate(alone)
    bench.resources = replace(bench.resources, min_parallel_lines=0)
    several = bench.submit(sample)
    bench.validate(several)
    assert _results(bench, several) == _results(bench, alone)


def _results(bench, run_id):
    with bench.resources.database.connection() as conn:
        # Not the patients: they are encrypted with a key of the run.
        query = (
            "SELECT to_jsonb(r) - 'run_id' - 'patient_key' FROM validation_results r WHERE run_id = %s "
            "ORDER BY result_number"
        )
        found = conn.execute(query, (run_id,)).fetchall()
    assert found
    return found
