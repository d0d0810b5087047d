"""Findings of the rules in the words of `naive.py`, to be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from facnet_grpc.reference.snapshot import Establishment, ReferenceSnapshot, shipped
from facnet_grpc.rules.api import Rule, RuleFindings
from facnet_grpc.rules.registry import for_run
from facnet_grpc.rules.table.exclusions import mark_excluded
from tests.rules import naive
from tests.rules.naive import Finding

TODAY = datetime(2025, 12, 15, 17, tzinfo=UTC)  # the day of judgement
SITES = frozenset({"55433", "55390"})


def with_sites() -> ReferenceSnapshot:
    """Return the shipped reference with a few GMF sites."""
    base = shipped()
    places = {number: Establishment(number, gmf=True) for number in SITES} | {
        "56002": Establishment("56002", gmf=False)
    }
    return ReferenceSnapshot(f"{base.version}-sites", base.codes, MappingProxyType(places), base.contexts)


_NAIVE: dict[str, Callable[[list[dict[str, Any]]], tuple[list[Finding], Counter[str]]]] = {
    "clinical_intervention": naive.clinical_intervention,
    "gmf_supplement": lambda rows: naive.gmf_supplement(rows, set(SITES)),
    "office_fee": naive.office_fee,
    "visit_duration": naive.visit_duration,
}


def evaluate(rule: Rule, table: pa.Table) -> RuleFindings:
    """Return what a rule finds in a table that may hold reversals and corrected lines."""
    (ready,) = for_run((rule,), TODAY)
    return ready.evaluate(mark_excluded(table), with_sites())


def naively(rule_id: str, rows: list[dict[str, Any]]) -> tuple[list[Finding], dict[str, int]]:
    """Return what the naive rule finds in the same rows, sorted, and its passes."""
    if rule_id == "annual_visit":
        findings, passes = naive.annual_visit(naive.standing(rows), TODAY.date(), rows)
    else:
        findings, passes = _NAIVE[rule_id](naive.standing(rows))
    return sorted(findings, key=repr), {name: count for name, count in passes.items() if count}


def findings_of(rule_id: str, outcome: RuleFindings) -> list[Finding]:
    """Return the findings of an outcome, sorted."""
    return sorted((_finding(rule_id, row) for row in outcome.findings.to_pylist()), key=repr)


def passes_of(outcome: RuleFindings) -> dict[str, int]:
    return {scenario: count for scenario, count in outcome.passes.items() if count}


def _finding(rule_id: str, row: dict[str, Any]) -> Finding:
    risk = tuple(sorted(zip(row["risk_records"], row["risk_cents"], strict=True)))
    return Finding(
        rule_id,
        row["scenario"],
        row["severity"],
        tuple(row["affected_records"]),
        row["doctor_key"],
        row["patient_key"],
        row["service_date"],
        row["at_risk_cents"],
        row["potential_gain_cents"],
        risk,
    )


def shuffled(table: pa.Table, order: list[int]) -> pa.Table:
    """Return the same lines in another order, with their record numbers."""
    return table.take(pa.array(order)).unify_dictionaries().combine_chunks()
