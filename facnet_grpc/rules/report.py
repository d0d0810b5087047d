"""What was found, in figures: counts, totals that count a line once, and one row a day of service.

What there is to say of a rule pack, for people or for programs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.calendar import EPOCH
from facnet_grpc.model.result import Severity
from facnet_grpc.model.run import SeverityCounts
from facnet_grpc.model.summary import DayFigures, NotEvaluable, PassFigures, ScenarioFigures
from facnet_grpc.rules.api import Rule, RuleFindings
from facnet_grpc.rules.checks import packs
from facnet_grpc.rules.table.arrays import Ints, slices
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import sentence

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
    """Return counts and money of each rule, scenario and severity, sorted by them."""
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
    """Return what rules looked at and found right, without the zeros."""
    return tuple(
        PassFigures(rule_id=rule.info.id, scenario=scenario, count=count)
        for rule, found in evaluated
        for scenario, count in sorted(found.passes.items())
        if count
    )


def not_evaluable(evaluated: FindingsByRule) -> tuple[NotEvaluable, ...]:
    """Return the rules that lacked something, and what."""
    return tuple(
        NotEvaluable(rule_id=rule.info.id, missing_columns=found.not_evaluable)
        for rule, found in evaluated
        if found.not_evaluable
    )


def total_gain(evaluated: FindingsByRule) -> int:
    """Return the sum of all gains."""
    return sum(pc.sum(found.findings.column("potential_gain_cents")).as_py() or 0 for _, found in evaluated)


def risk_by_row(claims: Claims, evaluated: FindingsByRule) -> Ints:
    """Return, for each line, the most that any finding puts at risk of it: a cent is not lost twice."""
    risk = np.zeros(len(claims), np.int64)
    for _, found in evaluated:
        records = _flat(found.findings, "risk_records")
        np.maximum.at(risk, claims.rows_of(records), _flat(found.findings, "risk_cents"))
    return risk


def days(claims: Claims, evaluated: FindingsByRule, risk_of_row: Ints) -> tuple[DayFigures, ...]:
    """Return the figures of each day of service in the file; `risk_of_row` is what `risk_by_row` returns.

    Results and gains stand on the day of their finding, money at risk on the day of the line that carries it.
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


def report(verb: str, pack: Path, write: Callable[[str], object], *, language: str, as_json: bool) -> bool:
    """Write what is wrong with a pack (`validate`), or how its cases go (`test`); return whether all is well."""
    if verb == "test":
        outcome = packs.test_pack(pack)
        problems, passed = outcome.failures, outcome.passed
    else:
        problems, passed = packs.validate_pack(pack), 0
    for problem in problems:
        said = {"file": str(problem.path), "line": problem.line, "problem": problem.sentence}
        write((json.dumps(said, ensure_ascii=False) if as_json else str(problem)) + "\n")
    summary = {"pack": str(pack), "ok": not problems, "problems": len(problems), "passed": passed}
    key = f"pack.{verb}.{'wrong' if problems else 'fine'}"
    text = sentence(key, Locale(language), pack=str(pack), count=len(problems) or passed)
    write((json.dumps(summary, ensure_ascii=False) if as_json else text) + "\n")
    return not problems
