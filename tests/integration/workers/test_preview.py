"""The first results reach watchers while later rules still run."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Event as Flag
from threading import Thread

import pytest

from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.model.result import MAX_PREVIEWS
from facnet_grpc.model.run import RunStatus
from facnet_grpc.rules import registry
from workers.validation.job import validate

# What watchers are shown of a result: no person, no day, no amount.
SHOWN = {
    *("result_number", "rule_id", "rule_version", "scenario", "severity", "category", "certainty"),
    *("record_number", "affected_records"),
}


class Held:
    """A rule that waits before it does anything."""

    def __init__(self, rule, go_on):
        self.info = replace(rule.info, id="zz_held")
        self._rule, self._go_on = rule, go_on

    def evaluate(self, lines, reference):
        assert self._go_on.wait(60)
        return self._rule.evaluate(lines, reference)


def previews(bench, run_id):
    told = [event.progress for event in bench.events(run_id) if event.progress]
    return [progress.preview for progress in told if progress.preview]


@pytest.fixture
def held_rule(bench, monkeypatch):
    rule = next(rule for rule in bench.resources.rules.select(()) if rule.info.id == "office_fee")
    go_on = Flag()
    both = registry.Registry.of(rule, Held(rule, go_on))
    monkeypatch.setattr(bench.resources.rules, "entries", both.entries)
    yield go_on
    go_on.set()


def test_ten_results_are_shown_before_the_last_rule_is_done(bench, held_rule, sample, redis_client):
    run_id = bench.submit(sample)
    thread = Thread(target=validate, args=(bench.resources, run_id), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not previews(bench, run_id):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert bench.run(run_id).status is RunStatus.PROCESSING
    shown = previews(bench, run_id)[-1]
    assert len(shown) == MAX_PREVIEWS
    assert {found.rule_id for found in shown} == {"office_fee"}
    assert all(found.record_number for found in shown)
    (entry,) = redis_client.xrevrange(f"facnet:events:{run_id}", count=1)
    published = RunProgress.FromString(entry[1][b"progress"]).preview[0]
    assert {field.name for field, _ in published.ListFields()} <= SHOWN
    held_rule.set()
    thread.join(20)
    assert bench.run(run_id).status is RunStatus.COMPLETED
    assert all(len(found) == MAX_PREVIEWS for found in previews(bench, run_id))
