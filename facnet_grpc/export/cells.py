"""Whole columns as text, for the formats that are text. No Python loop over rows."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.export.tables import JSON_COLUMNS

LIST_SEPARATOR = "|"
FORMULA = r"^[=+\-@\t\r\n]"  # what a spreadsheet would run, or what would hide it
_ESCAPED = r'["\\\x00-\x1f]'


def json_column(name: str, column: pa.Array) -> pa.Array:
    """Return a column as JSON values: missing numbers are null, missing texts and days empty, lists never missing."""
    if name in JSON_COLUMNS:
        return column
    if pa.types.is_list(column.type):
        return _json_lists(column)
    if pa.types.is_integer(column.type):
        return pc.fill_null(column.cast(pa.string()), "null")
    return _quoted(pc.fill_null(column.cast(pa.string()), ""))


def csv_column(column: pa.Array) -> pa.Array:
    """Return a column as cells: numbers and days as they are; text and lists so that no spreadsheet runs them."""
    if pa.types.is_list(column.type):
        return _defused(_joined(column, LIST_SEPARATOR))
    return _defused(column) if pa.types.is_string(column.type) else column


def _defused(column: pa.Array) -> pa.Array:
    risky = pc.fill_null(pc.match_substring_regex(column, FORMULA), False)
    return pc.if_else(risky, _concat("'", column), column) if pc.any(risky).as_py() else column


def _json_lists(column: pa.Array) -> pa.Array:
    items = column.flatten()
    texts = _quoted(items) if pa.types.is_string(items.type) else items.cast(pa.string())
    return _concat("[", _joined(pa.ListArray.from_arrays(_offsets(column), texts), ", "), "]")


def _joined(column: pa.Array, separator: str) -> pa.Array:
    items = column.flatten().cast(pa.string())
    return pc.binary_join(pa.ListArray.from_arrays(_offsets(column), items), separator)


def _offsets(column: pa.ListArray) -> pa.Array:
    return pc.subtract(column.offsets, column.offsets[0])


def _quoted(column: pa.Array) -> pa.Array:
    """Return texts as JSON strings, written as Python's `json` writes them with letters as they are."""
    quoted = _concat('"', column, '"')
    special = pc.match_substring_regex(column, _ESCAPED)
    if not pc.any(special).as_py():
        return quoted
    escaped = [json.dumps(text, ensure_ascii=False) for text in column.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special, pa.array(escaped, pa.string()))


def _concat(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
