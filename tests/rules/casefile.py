"""Reads `cases/<rule>.toml`: small tables, a line a row, columns between bars, only those that matter.

Lines: `code`, `times` (so many lines, each with a patient of its own), `doctor`, `patient` (`-` for none; empty for
somebody new), `date`, `start`, `end`, `place` (`-` for unknown), `context`, `units`, `amount`, `paid` (yes, no, ? for
not known). Expected: `scenario`, `severity`, `lines` (record numbers, the main one first), `at risk`, `gain`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tests.rules.tables import DEFAULTS, cents, clock

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    name: str
    lines: list[dict[str, Any]]
    expected: list[tuple[str, str, tuple[int, ...], int, int]]
    passes: dict[str, int] = field(default_factory=dict)
    not_evaluable: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    sites: tuple[str, ...] | None = None


def read(rule_id: str) -> list[Case]:
    """Return the cases of a rule."""
    return [_case(entry) for entry in _load(rule_id)["case"]]


def acceptance(rule_id: str) -> list[dict[str, str]]:
    """Return the rows of a rule's acceptance table, if it has one."""
    return read_table(_load(rule_id).get("acceptance", ""))


def _load(rule_id: str) -> dict[str, Any]:
    return tomllib.loads((CASES / f"{rule_id}.toml").read_text(encoding="utf-8"))


def _case(entry: dict[str, Any]) -> Case:
    unknown = entry.keys() - {"name", "lines", "expect", "passes", "not_evaluable", "missing_columns", "sites"}
    assert not unknown, f"{entry['name']}: {unknown}"
    return Case(
        name=entry["name"],
        lines=_lines(read_table(entry["lines"])),
        expected=[_expected(row) for row in read_table(entry.get("expect", ""))],
        passes=entry.get("passes", {}),
        not_evaluable=tuple(entry.get("not_evaluable", ())),
        missing_columns=tuple(entry.get("missing_columns", ())),
        sites=tuple(entry["sites"]) if "sites" in entry else None,
    )


def read_table(text: str) -> list[dict[str, str]]:
    """Return the rows of a table whose columns stand between bars, by the names in its first line."""
    rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines() if line.strip()]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _expected(row: dict[str, str]) -> tuple[str, str, tuple[int, ...], int, int]:
    records = tuple(int(number) for number in row["lines"].split())
    return row["scenario"], row["severity"], records, cents(row["at risk"] or "0"), cents(row["gain"] or "0")


def _lines(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for row in rows:
        for _ in range(int(row.get("times") or 1)):
            lines.append(_line(row, len(lines) + 1))
    return lines


def _line(row: dict[str, str], number: int) -> dict[str, Any]:
    def given(column: str, usual: str) -> str:
        return row.get(column) or usual

    sign = -1 if given("amount", "40.00").startswith("-") else 1
    amount = sign * cents(given("amount", "40.00").removeprefix("-"))
    paid = {"yes": amount, "no": 0, "?": None}[given("paid", "yes")]
    patient = given("patient", f"NOUV{number:08}")
    place = given("place", "55433")
    return {
        **DEFAULTS,
        "record_number": number,
        "code": row["code"],
        "doctor_key": given("doctor", "1000001"),
        "patient_key": None if patient == "-" else patient,
        "service_date": date.fromisoformat(given("date", "2025-03-03")),
        "start_time": clock(row["start"]) if row.get("start") else None,
        "end_time": clock(row["end"]) if row.get("end") else None,
        "place": None if place == "-" else place,
        "context": row.get("context") or None,
        "units": int(row["units"]) if row.get("units") else None,
        "preliminary_cents": amount,
        "paid_cents": paid,
    }
