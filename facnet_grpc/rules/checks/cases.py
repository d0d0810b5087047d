"""Runs the cases of a pack: small tables of lines, with what is to be found written behind the line that it is about.

A table begins with a title after `#`. Its lines have the values of `columns`, `-` for none; columns that are not named
have usual values. Behind a line, `! scenario` is a finding whose main line it is, `! scenario/warning` one with another
severity than the test's own, ` =12.50` what it puts at risk, ` +9.35` what it gains. A line `? place` says that the
check could not be evaluated for want of a column (or of a part of the reference).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

import pyarrow as pa

from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.api import RuleFindings
from facnet_grpc.rules.checks.compile import CheckRule, SharedCache
from facnet_grpc.rules.checks.schema import Check
from facnet_grpc.rules.table.exclusions import mark_excluded

TODAY = date(2025, 6, 30)

# The short names of columns, and what a line has where its table does not say.
_COLUMNS: Mapping[str, tuple[str, str]] = {
    "code": ("code", "15804"),
    "patient": ("patient_key", "TREA80010111"),
    "name": ("patient_name", "-"),
    "doctor": ("doctor_key", "1000001"),
    "date": ("service_date", "2025-03-03"),
    "start": ("start_time", "-"),
    "end": ("end_time", "-"),
    "place": ("place", "50001"),
    "units": ("units", "-"),
    "role": ("role", "-"),
    "context": ("context", "-"),
    "amount": ("preliminary_cents", "10.00"),
    "paid": ("paid_cents", "-"),
    "period": ("payment_period", "-"),
    "invoice": ("invoice", "-"),
}


class CaseError(ValueError):
    """A case that cannot be read."""

    def __init__(self, line: int, sentence: str) -> None:
        self.line = line
        self.sentence = sentence
        super().__init__(f"line {line}: {sentence}")


@dataclass(frozen=True, slots=True)
class CaseFinding:
    """What a case expects or what was found: money only where the case speaks of it."""

    record_number: int
    scenario: str
    severity: str
    at_risk_cents: int | None = None
    gain_cents: int | None = None

    def __str__(self) -> str:
        amounts = [
            f"{sign}{cents / 100:.2f}"
            for sign, cents in (("=", self.at_risk_cents), ("+", self.gain_cents))
            if cents is not None
        ]
        return " ".join([f"line {self.record_number}: {self.scenario}/{self.severity}", *amounts])


@dataclass(slots=True)
class Case:
    """One table of a check."""

    check: Check
    title: str
    line: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    expected: list[CaseFinding] = field(default_factory=list)
    missing: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`hit`, `miss` or `not_evaluable`."""
        if self.expected:
            return "hit"
        return "not_evaluable" if self.missing else "miss"

    def failure(self, reference: ReferenceSnapshot) -> str:
        """Return what is found instead of what is expected; "" if they agree."""
        rule = CheckRule.of(self.check).for_run(_today(self.check), SharedCache())
        lines = mark_excluded(table(self.rows))
        returned = rule.evaluate(lines, reference)
        found = sorted(_found(returned), key=str)
        wanted = sorted(self.expected, key=str)
        seen = [_comparable(one, wanted) for one in found]
        if sorted(seen, key=str) == wanted and set(returned.not_evaluable) == set(self.missing):
            return ""
        return f"expected {_listed(wanted, self.missing)}; found {_listed(found, returned.not_evaluable)}"


def of_check(check: Check) -> list[Case]:
    """Read the cases of a check; raises `CaseError` if one cannot be read."""
    if check.cases is None:
        return []
    names = check.cases.columns.split()
    cases: list[Case] = []
    for number, text in _lines(check.cases.tables, check.cases_line):
        try:
            if text.startswith("#"):
                cases.append(Case(check, text[1:].strip(), number))
            elif not cases:
                raise ValueError("a table begins with a title after #")  # noqa: TRY301 - one place adds the line
            elif text.startswith("?"):
                cases[-1].missing = tuple(text[1:].split())
            else:
                _add(cases[-1], names, text)
        except ValueError as error:
            raise CaseError(number, str(error)) from error
    return cases


def _lines(tables: str, first: int) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, with their number; the text begins on the line after its quotes."""
    for number, text in enumerate(tables.splitlines(), first + 1):
        if text.strip():
            yield number, text.strip()


def _add(case: Case, names: list[str], text: str) -> None:
    cells, *marks = text.split("!")
    values = shlex.split(cells)
    if len(values) != len(names):
        raise ValueError(f"{len(values)} values for {len(names)} columns")
    given = dict(zip(names, values, strict=True))
    if unknown := sorted(set(given) - set(_COLUMNS)):
        raise ValueError(f"there is no column {unknown[0]!r}; there are {', '.join(_COLUMNS)}")
    row = {column: _value(column, given.get(name, usual)) for name, (column, usual) in _COLUMNS.items()}
    row |= {"record_number": len(case.rows) + 1, "ramq_id": None, "doctor_name": "Roy, Anne"}
    case.rows.append(row)
    case.expected += [_mark(case.check, len(case.rows), mark) for mark in marks]


def _mark(check: Check, record: int, text: str) -> CaseFinding:
    scenario, *amounts = text.split()
    name, _, severity = scenario.partition("/")
    usual = next((test.severity for test in check.tests if test.scenario == name), None)
    if usual is None:
        raise ValueError(f"there is no scenario {name!r}")
    money = {amount[0]: _cents(amount[1:]) for amount in amounts}
    return CaseFinding(record, name, severity or usual.value, money.get("="), money.get("+"))


def _value(column: str, text: str) -> Any:
    if text == "-":
        return None
    if column in ("preliminary_cents", "paid_cents"):
        return _cents(text)
    if column == "units":
        return int(text)
    if column == "service_date":
        return date.fromisoformat(text)
    return time.fromisoformat(text) if column in ("start_time", "end_time") else text


def _cents(text: str) -> int:
    return round(float(text) * 100)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """Return complete rows as a table of `RULE_SCHEMA`."""
    columns = [_column([row[column.name] for row in rows], column.type) for column in RULE_SCHEMA]
    return pa.Table.from_arrays(columns, schema=RULE_SCHEMA)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def _today(check: Check) -> date:
    return (check.cases.today if check.cases else None) or TODAY


def _found(findings: RuleFindings) -> list[CaseFinding]:
    return [
        CaseFinding(
            row["affected_records"][0],
            row["scenario"],
            row["severity"],
            row["at_risk_cents"],
            row["potential_gain_cents"],
        )
        for row in findings.findings.to_pylist()
    ]


def _comparable(found: CaseFinding, wanted: Iterable[CaseFinding]) -> CaseFinding:
    """Leave out the amounts that the expected finding does not speak of."""
    expected = next(
        (
            one
            for one in wanted
            if (one.record_number, one.scenario, one.severity) == (found.record_number, found.scenario, found.severity)
        ),
        found,
    )
    return CaseFinding(
        found.record_number,
        found.scenario,
        found.severity,
        None if expected.at_risk_cents is None else found.at_risk_cents,
        None if expected.gain_cents is None else found.gain_cents,
    )


def _listed(findings: Iterable[CaseFinding], missing: Iterable[str]) -> str:
    shown = [str(one) for one in findings] + [f"not evaluable without {name}" for name in missing]
    return ", ".join(shown) or "nothing"
