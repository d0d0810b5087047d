"""A check as a rule: the same kind of object as the core rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock

import numpy as np
import pyarrow as pa

from facnet_grpc.calendar import day_number
from facnet_grpc.model.result import Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import Outcome, Parameter, RuleInfo
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.model import Check, Test, Where
from facnet_grpc.rules.checks.primitives.base import Hits, Work
from facnet_grpc.rules.findings import Fact, FindingGroup
from facnet_grpc.rules.table.claims import Ints, Mask

_MILDER = {Severity.ERROR: Severity.WARNING, Severity.WARNING: Severity.INFO}


@dataclass(slots=True)
class SharedCache:
    """What the checks of one run share: the last file's sheet, so that it is worked out once."""

    _lines: pa.Table | None = None
    _sheet: ClaimTable | None = None
    _lock: Lock = field(default_factory=Lock)

    def sheet(self, lines: pa.Table) -> ClaimTable:
        """Return the sheet of `lines`."""
        with self._lock:
            if self._sheet is None or self._lines is not lines:
                self._lines, self._sheet = lines, ClaimTable(lines)
            return self._sheet


@dataclass(frozen=True, slots=True, eq=False)
class CheckRule:
    """A check of a pack, ready to be evaluated.

    `today` is the day of the run: without it, tests that look at the age of a claim are not evaluable. `desk` is
    shared by the checks of a run; without one, each evaluation works the file out anew.
    """

    check: Check
    info: RuleInfo
    today: date | None = None
    desk: SharedCache | None = None

    @classmethod
    def of(cls, check: Check) -> CheckRule:
        """Make a rule of a check."""
        return cls(check, _info(check))

    def for_run(self, today: date, desk: SharedCache) -> CheckRule:
        """Return the rule as of a day, sharing what the others of its run work out."""
        return replace(self, today=today, desk=desk)

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> Outcome:
        """Run every test whose columns are there; see `Rule.evaluate`."""
        sheet = (self.desk or SharedCache()).sheet(lines)
        batches: list[FindingGroup] = []
        passes: dict[str, int] = {}
        lacking: list[str] = []
        for test in self.check.tests:
            if missing := [column for column in test.needs if not sheet.has(column)]:
                lacking += missing
                continue
            hits = test.primitive.run(_work(sheet, test, reference, self.today))
            lacking += hits.lacking
            passes[test.scenario] = passes.get(test.scenario, 0) + hits.seen - len(hits)
            batches += _batches(sheet, test, hits)
        return Outcome(
            findings.table(sheet.claims, batches),
            passes={scenario: count for scenario, count in passes.items() if count > 0},
            not_evaluable=tuple(dict.fromkeys(lacking)),
        )


def _work(sheet: ClaimTable, test: Test, reference: ReferenceSnapshot, today: date | None) -> Work:
    def narrow(rows: Ints) -> Ints:
        return _narrow(sheet, rows, test.where)

    if test.primitive.reads_all:
        rows = np.zeros(0, np.int64)
    elif test.where.codes:
        rows = narrow(sheet.with_codes(test.where.codes))
    else:
        rows = narrow(sheet.billed)
    return Work(sheet, rows, test.group, test.params, reference, today, narrow)


def _narrow(sheet: ClaimTable, rows: Ints, where: Where) -> Ints:
    """Keep the rows that a test is about."""
    if where.except_codes:
        rows = rows[~sheet.where("code", where.except_codes.__contains__)[rows]]
    if where.first_day:
        rows = rows[sheet.claims.day[rows] >= day_number(where.first_day)]
    if where.last_day:
        rows = rows[sheet.claims.day[rows] <= day_number(where.last_day)]
    if where.at:
        rows = rows[(sheet.claims.in_cabinet if where.at == "cabinet" else sheet.claims.in_establishment)[rows]]
    return _narrow_by_text(sheet, rows, where)


def _narrow_by_text(sheet: ClaimTable, rows: Ints, where: Where) -> Ints:
    if where.places:
        rows = rows[sheet.where("place", where.places.__contains__)[rows]]
    if where.roles:
        rows = rows[sheet.where("role", lambda text: text.lstrip("0") in where.roles)[rows]]
    if where.context:
        rows = rows[sheet.where("context", lambda text: not where.context.isdisjoint(text.split(",")))[rows]]
    if where.except_context:
        rows = rows[~sheet.where("context", lambda text: not where.except_context.isdisjoint(text.split(",")))[rows]]
    return rows


def _batches(sheet: ClaimTable, test: Test, hits: Hits) -> list[FindingGroup]:
    if not len(hits):
        return []
    milder = np.zeros(len(hits), np.bool_) if hits.milder is None else hits.milder
    found = []
    for severity, which in ((test.severity, ~milder), (_MILDER.get(test.severity, test.severity), milder)):
        if which.any():
            found.append(_batch(sheet, test, hits, severity, which))
    return found


def _batch(sheet: ClaimTable, test: Test, hits: Hits, severity: Severity, which: Mask) -> FindingGroup:
    affected = hits.affected.having(which)
    risk = hits.risk.having(which) if hits.risk is not None and test.at_risk else None
    cents = None
    if risk is not None and hits.risk is not None and hits.risk_cents is not None:
        cents = hits.risk_cents[which[hits.risk.owner]]
    about = affected.first
    return FindingGroup(
        scenario=test.scenario,
        severity=severity,
        about=about,
        affected=affected,
        risk=risk,
        risk_cents=cents,
        gain_cents=0 if hits.gain_cents is None else hits.gain_cents[which],
        facts={"code": sheet.text("code", about), **{name: _pick(fact, which) for name, fact in hits.facts.items()}},
        of_patient="patient" in test.group or test.group == ("line",),
    )


def _pick(fact: Fact, which: Mask) -> Fact:
    if isinstance(fact, int | str):
        return fact
    if isinstance(fact, pa.Array):
        return fact.filter(pa.array(which))
    return np.asarray(fact)[which]


def _info(check: Check) -> RuleInfo:
    needs = set.intersection(*(set(test.needs) for test in check.tests))
    severities = {test.severity for test in check.tests}
    scenarios = tuple(dict.fromkeys(test.scenario for test in check.tests))
    certainties = {test.scenario: test.certainty for test in check.tests if test.certainty != check.certainty}
    return RuleInfo(
        id=check.id,
        version=check.version,
        category=check.category,
        certainty=check.certainty,
        severities=tuple(severity for severity in Severity if severity in severities),
        scenarios=scenarios,
        needs=tuple(sorted(needs)),
        source=check.source,
        reads=tuple(sorted({column for test in check.tests for column in test.reads} - needs)),
        parameters=tuple(_parameters(check)),
        scenario_certainty=certainties,
    )


def _parameters(check: Check) -> list[Parameter]:
    found = []
    for test in check.tests:
        span = (test.where.first_day, test.where.last_day)
        if test.where.codes:
            codes = tuple(sorted(test.where.codes))
            found.append(Parameter(f"{test.scenario}.codes", codes, "codes", check.source, *span))
        for name, value in test.params.items():
            if isinstance(value, int) and not isinstance(value, bool):
                found.append(Parameter(f"{test.scenario}.{name}", value, name.rpartition("_")[2], check.source, *span))
    return found
