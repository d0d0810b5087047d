"""The case files: what a biller expects, line by line."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from facnet_grpc.reference.snapshot import Establishment, ReferenceSnapshot, shipped
from facnet_grpc.rules.engine import run_rules
from facnet_grpc.rules.registry import RULES, for_run, select
from tests.rules import casefile
from tests.rules.compare import TODAY
from tests.rules.tables import DEFAULTS, cents, lines, of_rows

CASES = [(rule.info.id, case) for rule in RULES for case in casefile.read(rule.info.id)]


def reference_of(case):
    if case.sites is None:
        return shipped()
    places = {number: Establishment(number, gmf=True) for number in case.sites}
    return ReferenceSnapshot("cases", shipped().codes, MappingProxyType(places), shipped().contexts)


def run(rule_id, table, reference=None, missing_columns=()):
    rules = for_run(select([rule_id]), TODAY)
    return run_rules(table, reference or shipped(), rules, on_rule_done=lambda _: None, missing_columns=missing_columns)


@pytest.mark.parametrize(("rule_id", "case"), CASES, ids=lambda value: getattr(value, "name", value))
def test_case(rule_id, case):
    report = run(rule_id, of_rows(case.lines), reference_of(case), case.missing_columns)
    results = [
        (
            row["scenario"],
            row["severity"],
            tuple(row["affected_records"]),
            row["at_risk_cents"],
            row["potential_gain_cents"],
        )
        for row in report.results.to_pylist()
    ]
    assert results == case.expected
    assert {figures.scenario: figures.count for figures in report.passes} == case.passes
    assert tuple(name for entry in report.not_evaluable for name in entry.missing_columns) == case.not_evaluable


@pytest.mark.parametrize("row", casefile.acceptance("office_fee"), ids=lambda row: " ".join(row.values()))
def test_office_fee_acceptance(row):
    rows = [fee(text) for text in row["fees"].split()]
    rows += [visit(number, None) for number in range(int(row["registered"]))]
    rows += [visit(100 + number, "G160") for number in range(int(row["walk-in"]))]
    report = run("office_fee", lines(rows))
    scenarios = {result["scenario"] for result in report.results.to_pylist()}
    assert scenarios | {figures.scenario for figures in report.passes} == set(row["outcome"].split())
    assert report.at_risk_cents == cents(row["at risk"])
    assert report.potential_gain_cents == cents(row["gain"])


def fee(text):
    kind, _, place = text.partition("@")
    code, side = kind[:5], kind[5:]
    amount = {"19928": 3240, "19929": 6480}[code]
    context = {"R": None, "W": "AR"}[side]
    place = place or DEFAULTS["place"]
    return {"code": code, "context": context, "place": place, "preliminary_cents": amount, "paid_cents": amount}


def visit(number, context):
    return {"patient_key": f"PATI{number:08}", "context": context, "paid_cents": 4000}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.info.id)
def test_every_scenario_has_a_case_that_hits_and_the_rule_one_that_cannot_tell(rule):
    cases = casefile.read(rule.info.id)
    hit = {scenario for case in cases for scenario, *_ in case.expected}
    hit |= {scenario for row in casefile.acceptance(rule.info.id) for scenario in row["outcome"].split()}
    assert set(rule.info.scenarios) <= hit
    assert any(case.not_evaluable for case in cases)
    assert any(not case.expected and not case.not_evaluable for case in cases)
