"""A check as a rule: the same kind of object as the core rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock

import numpy as np
import pyarrow as pa

from facnet_grpc.model.result import Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import Parameter, RuleFindings, RuleInfo
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.primitives.base import CheckTest, Evaluation, Matches
from facnet_grpc.rules.checks.schema import Check
from facnet_grpc.rules.findings import Fact, FindingGroup
from facnet_grpc.rules.table.arrays import Mask

_ONE_LOWER = {Severity.ERROR: Severity.WARNING, Severity.WARNING: Severity.INFO}


@dataclass(slots=True)
class SharedCache:
    """The claim table of a run's lines, shared by its checks so that each column is prepared once."""

    make: Callable[[pa.Table], ClaimTable] = ClaimTable
    _lines: pa.Table | None = None
    _table: ClaimTable | None = None
    _lock: Lock = field(default_factory=Lock)

    def table(self, lines: pa.Table) -> ClaimTable:
        """Return the claim table of `lines`, a table of `RULE_SCHEMA`."""
        with self._lock:
            if self._table is None or self._lines is not lines:
                self._lines, self._table = lines, self.make(lines)
            return self._table


@dataclass(frozen=True, slots=True, eq=False)
class CheckRule:
    """A check of a pack, ready to be evaluated.

    `today` is the day of the run: without it, tests that look at the age of a claim are not evaluable. `cache` is
    shared by the checks of a run; without one, each evaluation prepares the columns again.
    """

    check: Check
    info: RuleInfo
    today: date | None = None
    cache: SharedCache | None = None

    @classmethod
    def of(cls, check: Check) -> CheckRule:
        """Make a rule of a check."""
        return cls(check, _info(check))

    def for_run(self, today: date, cache: SharedCache) -> CheckRule:
        """Return the rule as of a day, with the cache that the checks of a run share."""
        return replace(self, today=today, cache=cache)

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:
        """Run every test whose columns are there; see `Rule.evaluate`."""
        table = (self.cache or SharedCache()).table(lines)
        groups: list[FindingGroup] = []
        passes: dict[str, int] = {}
        not_evaluable: list[str] = []
        for test in self.check.tests:
            if missing := [column for column in test.needs if not table.has(column)]:
                not_evaluable += missing
                continue
            matches = type(test).evaluate(Evaluation(test, table, test.select(table), reference, self.today))
            not_evaluable += matches.missing
            passes[test.scenario] = passes.get(test.scenario, 0) + matches.examined - len(matches)
            groups += _finding_groups(table, test, matches)
        return RuleFindings(
            findings.table(table.claims, groups),
            passes={scenario: count for scenario, count in passes.items() if count > 0},
            not_evaluable=tuple(dict.fromkeys(not_evaluable)),
        )


def _finding_groups(table: ClaimTable, test: CheckTest, matches: Matches) -> list[FindingGroup]:
    if not len(matches):
        return []
    downgraded = np.zeros(len(matches), np.bool_) if matches.downgraded is None else matches.downgraded
    found = []
    for severity, which in ((test.severity, ~downgraded), (_ONE_LOWER.get(test.severity, test.severity), downgraded)):
        if which.any():
            found.append(_finding_group(table, test, matches, severity, which))
    return found


def _finding_group(
    table: ClaimTable, test: CheckTest, matches: Matches, severity: Severity, which: Mask
) -> FindingGroup:
    affected = matches.affected.filter(which)
    risk = matches.risk.filter(which) if matches.risk is not None and test.at_risk else None
    cents = None
    if risk is not None and matches.risk is not None and matches.risk_cents is not None:
        cents = matches.risk_cents[which[matches.risk.owner]]
    about = affected.first
    return FindingGroup(
        scenario=test.scenario,
        severity=severity,
        about=about,
        affected=affected,
        risk=risk,
        risk_cents=cents,
        gain_cents=0 if matches.gain_cents is None else matches.gain_cents[which],
        facts={"code": table.text("code", about), **{name: _pick(fact, which) for name, fact in matches.facts.items()}},
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
    certainties = {
        test.scenario: test.certainty
        for test in check.tests
        if test.certainty is not None and test.certainty is not check.certainty
    }
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
        columns=frozenset().union(*(test.columns for test in check.tests)),
    )


def _parameters(check: Check) -> list[Parameter]:
    found = []
    for test in check.tests:
        span = (test.first_day, test.last_day)
        if test.codes:
            codes = tuple(sorted(test.codes))
            found.append(Parameter(f"{test.scenario}.codes", codes, "codes", check.source, *span))
        for name, key in test.parameters().items():
            value = getattr(test, key)
            if isinstance(value, int) and not isinstance(value, bool):
                found.append(Parameter(f"{test.scenario}.{name}", value, name.rpartition("_")[2], check.source, *span))
    return found
