"""Figures of a run's findings: counts, totals in which a line counts once, and figures of each day of service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.calendar import EPOCH
from facnet_grpc.model.result import Severity
from facnet_grpc.model.run import SeverityCounts
from facnet_grpc.model.summary import DayFigures, NotEvaluable, PassFigures, ScenarioFigures
from facnet_grpc.rules.api import Rule, RuleFindings
from facnet_grpc.rules.table.arrays import Ints, slices
from facnet_grpc.rules.table.claims import Claims

FindingsByRule = Sequence[tuple[Rule, RuleFindings]]


def count_severities(findings: pa.Table) -> SeverityCounts:
    """Count findings by severity."""
    counted = {row["values"]: row["counts"] for row in pc.value_counts(findings.column("severity")).to_pylist()}
    return SeverityCounts(**{severity.value: counted.get(severity.value, 0) for severity in Severity})


def add(one: SeverityCounts, other: SeverityCounts) -> SeverityCounts:
    """Add two counts."""
    return SeverityCounts(
        error=one.error + other.error,
        warning=one.warning + other.warning,
        optimization=one.optimization + other.optimization,
        info=one.info + other.info,
    )


def scenarios(results: pa.Table) -> tuple[ScenarioFigures, ...]:
    """Return counts and amounts by rule, scenario and severity, sorted; `results` is a table of `RESULT_SCHEMA`."""
    # Not by `Table.group_by`: that loads libraries of ten megabytes.
    keys = [results.column(name).combine_chunks().dictionary_encode() for name in ("rule_id", "scenario", "severity")]
    kinds = np.zeros(results.num_rows, np.int64)
    for key in keys:
        kinds = kinds * len(key.dictionary) + np.asarray(key.indices)
    _, sample, kind, counts = np.unique(kinds, return_index=True, return_inverse=True, return_counts=True)
    names = zip(*(key.take(pa.array(sample)).to_pylist() for key in keys), strict=True)
    risks, gains = (_sums(results.column(name), kind, counts) for name in ("at_risk_cents", "potential_gain_cents"))
    found = sorted(zip(names, counts.tolist(), risks, gains, strict=True))
    return tuple(
        ScenarioFigures(
            rule_id=rule_id,
            scenario=scenario,
            severity=Severity(severity),
            count=count,
            at_risk_cents=risk,
            potential_gain_cents=gain,
        )
        for (rule_id, scenario, severity), count, risk, gain in found
    )


def _sums(cents: pa.ChunkedArray, kind: Ints, counts: Ints) -> list[int]:
    sums = np.zeros(len(counts), np.int64)
    np.add.at(sums, kind, np.asarray(cents, np.int64))
    return sums.tolist()


def passes(evaluated: FindingsByRule) -> tuple[PassFigures, ...]:
    """Return how many checked cases are right, by rule and scenario, without zeros."""
    return tuple(
        PassFigures(rule_id=rule.info.id, scenario=scenario, count=count)
        for rule, found in evaluated
        for scenario, count in sorted(found.passes.items())
        if count
    )


def not_evaluable(evaluated: FindingsByRule) -> tuple[NotEvaluable, ...]:
    """Return the rules that are not evaluable, and what they lack."""
    return tuple(
        NotEvaluable(rule_id=rule.info.id, missing_columns=found.not_evaluable)
        for rule, found in evaluated
        if found.not_evaluable
    )


def total_gain(evaluated: FindingsByRule) -> int:
    """Return the sum of `potential_gain_cents` of all findings."""
    return sum(pc.sum(found.findings.column("potential_gain_cents")).as_py() or 0 for _, found in evaluated)


def risk_by_row(claims: Claims, evaluated: FindingsByRule) -> Ints:
    """Return the largest amount (cents, int64, one a line) that any finding puts at risk of the line."""
    risk = np.zeros(len(claims), np.int64)
    for _, found in evaluated:
        records = _flat(found.findings, "risk_records")
        np.maximum.at(risk, claims.rows_of(records), _flat(found.findings, "risk_cents"))
    return risk


def days(claims: Claims, evaluated: FindingsByRule, risk_of_row: Ints) -> tuple[DayFigures, ...]:
    """Return the figures of each day of service in the file; `risk_of_row` is what `risk_by_row` returns.

    Results and gains count on the service date of their finding, money at risk on that of its line.
    """
    if not len(claims):
        return ()
    first, last = claims.days
    span = last - first + 1
    rows, risk = np.zeros(span, np.int64), np.zeros(span, np.int64)
    for part in slices(len(claims)):
        offsets = claims.day[part] - first
        rows += np.bincount(offsets, minlength=span)
        np.add.at(risk, offsets, risk_of_row[part])
    counts = {severity: np.zeros(span, np.int64) for severity in Severity}
    gains = np.zeros(span, np.int64)
    for _, found in evaluated:
        dated = found.findings.filter(pc.is_valid(found.findings.column("service_date")))
        where = np.asarray(dated.column("service_date").cast(pa.int32()), np.int64) - first
        np.add.at(gains, where, np.asarray(dated.column("potential_gain_cents"), np.int64))
        for severity in Severity:
            hits = np.asarray(pc.equal(dated.column("severity"), severity.value))
            counts[severity] += np.bincount(where[hits], minlength=span)
    return tuple(
        DayFigures(
            service_date=EPOCH + timedelta(days=first + offset),
            rows=int(rows[offset]),
            **{severity.value: int(counted[offset]) for severity, counted in counts.items()},
            at_risk_cents=int(risk[offset]),
            potential_gain_cents=int(gains[offset]),
        )
        for offset in np.flatnonzero(rows).tolist()
    )


def _flat(findings: pa.Table, column: str) -> Ints:
    return np.asarray(pc.list_flatten(findings.column(column)), np.int64)
