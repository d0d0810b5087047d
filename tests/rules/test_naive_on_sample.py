"""The shipped sample, all the way from its bytes: the rules against their naive twins."""

from __future__ import annotations

from pathlib import Path

import pytest

import facnet_grpc.sample
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.rules.registry import RULES
from facnet_grpc.rules.table.columns import LineCollector
from tests.rules.compare import evaluate, findings_of, naively, passes_of

SAMPLE = Path(facnet_grpc.sample.__file__).parent / "claims-5000.csv"


@pytest.fixture(scope="module")
def table():
    collector = LineCollector()
    with open_claims(lambda: SAMPLE.open("rb"), SAMPLE.stat().st_size) as file:
        for batch in file.batches():
            collector.add(batch.lines)
    return collector.finish()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.info.id)
def test_a_rule_finds_what_its_naive_twin_finds_in_the_sample(rule, table):
    outcome = evaluate(rule, table)
    expected, passes = naively(rule.info.id, table.to_pylist())
    assert findings_of(rule.info.id, outcome) == expected
    assert passes_of(outcome) == passes
