"""Reads reference files: CSV in UTF-8, a column at a time. One bad cell rejects the file, with its line and column.

    codes           code,place,tariff,base_units,tab,section,heading   and, if it matters, valid_from
    establishments  number,name,type,gmf                               gmf: 1, oui, yes, true; 0, non, no, false
    contexts        context,label,ends_on

Columns may have any order; unknown ones are ignored. The delimiter is the header's: a comma or a semicolon. Reference
files contain no persons, unlike claim files; still, errors do not quote them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Never

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from facnet_grpc.errors import InvalidInput, Reason
from facnet_grpc.model.reference import ReferenceKind
from facnet_grpc.reference.snapshot import TARIFF_DATE, CodeEntry, ContextElement, Establishment

NEEDED: Mapping[ReferenceKind, tuple[str, ...]] = {
    ReferenceKind.CODES: ("code", "place", "tariff", "tab"),
    ReferenceKind.ESTABLISHMENTS: ("number", "name", "type", "gmf"),
    ReferenceKind.CONTEXTS: ("context", "label"),
}
OPTIONAL: Mapping[ReferenceKind, tuple[str, ...]] = {
    ReferenceKind.CODES: ("base_units", "section", "heading", "valid_from"),
    ReferenceKind.ESTABLISHMENTS: (),
    ReferenceKind.CONTEXTS: ("ends_on",),
}
YES = frozenset({"1", "oui", "yes", "true", "vrai"})
NO = frozenset({"0", "non", "no", "false", "faux"})
MAX_FILE_BYTES = 16 << 20  # the shipped codes take 0.4 MB
MAX_CELL = 500  # characters
_FIRST_LINE = 2  # the header is line 1

# Patterns of whole cells; empty cells are checked apart.
_CODE = r"^\d{4,5}$"
_NUMBER = r"^\d{5}$"
_AMOUNT = r"^\d{1,7}([.,]\d{1,2})?$"
_COUNT = r"^\d{1,4}$"
_WORD = r"^[0-9A-Za-z_]{1,30}$"
_DAY = r"^\d{4}-\d{2}-\d{2}$"

Part = Mapping[str, Any]  # of a snapshot: codes, establishments or contexts by their key


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A CSV file in UTF-8. `source` says where it is from, and of which date."""

    kind: ReferenceKind
    source: str
    data: bytes


def read_all(files: Sequence[ReferenceFile]) -> Mapping[str, Part]:
    """Return the parts of a snapshot that files of different kinds hold. Raises what `read` raises."""
    return {file.kind.value: read(file.kind, file.data) for file in files}


def sources(files: Sequence[ReferenceFile]) -> str:
    """Return the sources of files as one text."""
    return "; ".join(f"{file.kind}: {file.source}" if file.source else file.kind.value for file in files)


def read(kind: ReferenceKind, data: bytes) -> Part:
    """Return the content of a file as a part of a snapshot.

    Raises `InvalidInput` (BAD_REFERENCE_FILE) with `kind`, `line` (1 is the header), `column` (or empty) and `problem`.
    """
    table = _Table.parse(kind, data)
    readers: Mapping[ReferenceKind, Callable[[_Table], dict[str, Any]]] = {
        ReferenceKind.CODES: _codes,
        ReferenceKind.ESTABLISHMENTS: _establishments,
        ReferenceKind.CONTEXTS: _contexts,
    }
    return MappingProxyType(readers[kind](table))


@dataclass(frozen=True, slots=True)
class _Table:
    """The trimmed cells of a file by column; rows in the order of the lines, with empty lines."""

    kind: ReferenceKind
    columns: Mapping[str, pa.Array]
    filled: pa.Array  # whether a line has any cell that is not empty
    size: int

    @classmethod
    def parse(cls, kind: ReferenceKind, data: bytes) -> _Table:
        text = _text(kind, data)
        first, _, _ = text.partition("\n")
        delimiter = ";" if ";" in first and "," not in first else ","
        names = _header(kind, first.split(delimiter))
        raw = _cells(kind, text, names, delimiter)
        trimmed = {name: pc.utf8_trim_whitespace(raw.column(name).combine_chunks()) for name in names}
        filled = pa.array([False] * raw.num_rows, pa.bool_())
        for column in trimmed.values():
            filled = pc.or_(filled, pc.not_equal(column, ""))
        known = (*NEEDED[kind], *OPTIONAL[kind])
        columns = {name: trimmed.get(name, pa.array([""] * raw.num_rows, pa.string())) for name in known}
        table = cls(kind, columns, filled, raw.num_rows)
        for name, column in columns.items():
            table.require(pc.less_equal(pc.utf8_length(column), MAX_CELL), name, "too_long")
        if not pc.any(filled).as_py():
            _reject(kind, _FIRST_LINE, "empty")
        return table

    def require(self, good: pa.Array, column: str, problem: str) -> None:
        """Reject the file at the first filled line where `good` is false."""
        bad = pc.and_(pc.invert(good), self.filled)
        if pc.any(bad).as_py():
            _reject(self.kind, pc.index(bad, True).as_py() + _FIRST_LINE, problem, column)

    def require_form(self, column: str, pattern: str, problem: str, *, optional: bool = False) -> None:
        """Reject the file at the first cell that does not match; an empty cell passes if it is `optional`."""
        cells = self.columns[column]
        good = pc.match_substring_regex(cells, pattern)
        if optional:
            good = pc.or_(good, pc.equal(cells, ""))
        else:
            self.require(pc.not_equal(cells, ""), column, "missing")
        self.require(good, column, problem)

    def lines(self, *names: str) -> Sequence[tuple[int, tuple[str, ...]]]:
        """Return the cells of each filled line, with its number."""
        cells = zip(*(self.columns[name].to_pylist() for name in names), strict=True)
        numbered = enumerate(zip(self.filled.to_pylist(), cells, strict=True), _FIRST_LINE)
        return [(number, row) for number, (filled, row) in numbered if filled]


def _text(kind: ReferenceKind, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _reject(kind, data[: error.start].count(b"\n") + 1, "not_utf8")
    if not text.strip():
        _reject(kind, 1, "empty")
    if "\0" in text:
        _reject(kind, text[: text.index("\0")].count("\n") + 1, "not_utf8")
    return text.replace("\r\n", "\n").rstrip() + "\n"


def _header(kind: ReferenceKind, cells: Sequence[str]) -> list[str]:
    names = [cell.strip().strip('"').lower() for cell in cells]
    for name in NEEDED[kind]:
        if name not in names:
            _reject(kind, 1, "column_missing", name)
    for name in (*NEEDED[kind], *OPTIONAL[kind]):
        if names.count(name) > 1:
            _reject(kind, 1, "column_twice", name)
    # What is not ours may be called anything, also twice.
    known = {*NEEDED[kind], *OPTIONAL[kind]}
    return [name if name in known else f"column {number}" for number, name in enumerate(names)]


def _cells(kind: ReferenceKind, text: str, names: Sequence[str], delimiter: str) -> pa.Table:
    torn: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        torn.append(row.number)
        return "skip"

    data = text.encode()
    table = csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1, block_size=len(data) + 1),
        parse_options=csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False, invalid_row_handler=skip),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    # A cell with a line break is most likely an open quote, and would shift the numbers of the lines after it.
    multiline = [
        pc.index(found, True).as_py() + _FIRST_LINE
        for name in names
        if pc.any(found := pc.match_substring(table.column(name), "\n")).as_py()
    ]
    if torn or multiline:
        first = min(torn + multiline)
        _reject(kind, first, "open_quote" if first in multiline else "wrong_field_count")
    return table


def _codes(table: _Table) -> dict[str, tuple[CodeEntry, ...]]:
    table.require_form("code", _CODE, "bad_code")
    table.require_form("place", _WORD, "bad_word")
    table.require_form("tariff", _AMOUNT, "bad_amount", optional=True)
    table.require_form("base_units", _COUNT, "bad_count", optional=True)
    table.require_form("tab", _WORD, "bad_word")
    table.require_form("valid_from", _DAY, "bad_day", optional=True)
    found: dict[str, list[CodeEntry]] = {}
    names = ("code", "place", "tariff", "base_units", "tab", "section", "heading", "valid_from")
    for line, (code, place, tariff, units, tab, section, heading, since) in table.lines(*names):
        entry = CodeEntry(
            code=code.zfill(5),
            place=place,
            tariff_cents=_cents(tariff) if tariff else None,
            base_units=int(units) if units else None,
            tab=tab,
            label=heading or section.rpartition(" > ")[2],
            valid_from=_day(table.kind, line, "valid_from", since) if since else TARIFF_DATE,
        )
        found.setdefault(entry.code, []).append(entry)
    # A stable sort: of several entries for one place and day, the first in the file counts.
    return {code: tuple(sorted(entries, key=_place_and_day)) for code, entries in found.items()}


def _place_and_day(entry: CodeEntry) -> tuple[str, date]:
    return entry.place, entry.valid_from


def _establishments(table: _Table) -> dict[str, Establishment]:
    table.require_form("number", _NUMBER, "bad_number")
    flags = pc.utf8_lower(table.columns["gmf"])
    table.require(pc.is_in(flags, pa.array(sorted(YES | NO))), "gmf", "bad_flag")
    found: dict[str, Establishment] = {}
    for line, (number, name, kind, gmf) in table.lines("number", "name", "type", "gmf"):
        if number in found:
            _reject(table.kind, line, "twice", "number")
        found[number] = Establishment(number, gmf=gmf.lower() in YES, name=name, type=kind)
    return found


def _contexts(table: _Table) -> dict[str, ContextElement]:
    table.require_form("context", _WORD, "bad_word")
    table.require_form("ends_on", _DAY, "bad_day", optional=True)
    found: dict[str, ContextElement] = {}
    for line, (token, label, ends_on) in table.lines("context", "label", "ends_on"):
        # The RAMQ lists a reinstated element again: the last line counts.
        until = _day(table.kind, line, "ends_on", ends_on) if ends_on else None
        found[token.upper()] = ContextElement(token.upper(), label, until)
    return found


def _cents(text: str) -> int:
    whole, _, rest = text.replace(",", ".").partition(".")
    return int(whole) * 100 + int(rest.ljust(2, "0"))


def _day(kind: ReferenceKind, line: int, column: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        _reject(kind, line, "bad_day", column)


def _reject(kind: ReferenceKind, line: int, problem: str, column: str = "") -> Never:
    place = f"{kind}[{line}]" + (f".{column}" if column else "")
    raise InvalidInput(
        Reason.BAD_REFERENCE_FILE, field=place, kind=kind.value, line=line, column=column, problem=problem
    )
