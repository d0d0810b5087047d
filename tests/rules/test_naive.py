"""The columnar rules against the naive ones, on many generated tables."""

from __future__ import annotations

from collections import Counter
from datetime import date, time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facnet_grpc.rules.registry import RULES
from tests.rules.compare import evaluate, findings_of, naively, passes_of
from tests.rules.generate import generate
from tests.rules.tables import DEFAULTS, of_rows

SEEDS = range(500)
SCENARIOS = {(rule.info.id, scenario) for rule in RULES for scenario in rule.info.scenarios}


@pytest.fixture(scope="module")
def made():
    """Rows and the table of them, for each seed."""
    return [(seed, rows, of_rows(rows)) for seed in SEEDS for rows in [generate(seed)]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.info.id)
def test_a_rule_finds_what_its_naive_twin_finds(rule, made):
    scenarios = Counter()
    passes = Counter()
    for seed, rows, table in made:
        outcome = evaluate(rule, table)
        expected, expected_passes = naively(rule.info.id, rows)
        assert findings_of(rule.info.id, outcome) == expected, f"seed {seed}"
        assert passes_of(outcome) == expected_passes, f"seed {seed}"
        scenarios.update(finding.scenario for finding in expected)
        passes.update(outcome.passes)
    # The generator is worth something only if every scenario occurs, and often.
    assert {scenario for scenario in rule.info.scenarios if scenarios[scenario] < 5} == set()
    assert all(passes[name] > 5 for name in passes)


row = st.fixed_dictionaries(
    {
        "service_date": st.sampled_from([date(2024, 12, 31), date(2025, 1, 1)]),
        "start_time": st.sampled_from([None, time(9), time(9, 30), time(23, 30)]),
        "end_time": st.sampled_from([None, time(9, 30), time(10), time(0, 8)]),
        "place": st.sampled_from([None, "", "55433", "00528"]),
        "code": st.sampled_from(["19928", "19929", "08857", "08859", "15819", "15801", "15823", "08875", "15765"]),
        "units": st.sampled_from([None, 1, 8, 90]),
        "context": st.sampled_from([None, "G160", "CARD", "ICEP", "AR,85"]),
        "invoice": st.sampled_from([None, "", "400000001", "400000002"]),
        "payment_period": st.sampled_from([None, "202501", "202502", "202503"]),
        "preliminary_cents": st.sampled_from([-3240, 0, 1, 3240, 6480]),
        "paid_cents": st.sampled_from([None, 0, 3240]),
        "doctor_key": st.sampled_from(["1000001", "1000002"]),
        "patient_key": st.sampled_from([None, "", "AAAA00000001", "BBBB00000001"]),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(row, max_size=24))
def test_small_tables_of_any_kind(drawn):
    rows = [{**DEFAULTS, **values, "record_number": number} for number, values in enumerate(drawn, 1)]
    for rule in RULES:
        outcome = evaluate(rule, of_rows(rows))
        expected, expected_passes = naively(rule.info.id, rows)
        assert findings_of(rule.info.id, outcome) == expected
        assert passes_of(outcome) == expected_passes
