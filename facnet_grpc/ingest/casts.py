"""Columns of text to columns of values.

Most columns hold few distinct texts, so each is read once a block by the functions of `values.py`. Columns of
identifiers are only trimmed. What is written alike in all lines of a block is read at once: see `uniform.py`, and
`patients.py` for the column that differs from line to line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

OK, EMPTY, BAD = range(3)
States = NDArray[np.int8]

_REMEMBERED = 50_000  # distinct texts of one column
_LONGEST_REMEMBERED = 256
SPACE = 0x20


class Cast(NamedTuple):
    """Columns of values, null where a cell is empty or bad; which is which, None if all are fine."""

    columns: tuple[Any, ...]
    states: States | None


class DictionaryCast:
    """Reads each distinct text once, and remembers it from block to block."""

    def __init__(self, parse: Callable[[str], Any], *types: pa.DataType) -> None:
        """Make columns of `types`; `parse` gives one value, or a tuple of as many, or None for an unreadable text."""
        self._parse = parse
        self._types = types
        self._nothing = (None,) * len(types)
        self._known: dict[str, tuple[tuple[Any, ...], int]] = {}

    def __call__(self, column: Any) -> Cast:
        """Cast a column of strings without nulls."""
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        found = [self._known.get(text) or self._read(text) for text in texts]
        columns = tuple(
            pa.array([value[number] for value, _ in found], kind).take(encoded.indices)
            for number, kind in enumerate(self._types)
        )
        if all(state == OK for _, state in found):
            return Cast(columns, None)
        states = np.array([state for _, state in found], np.int8)
        return Cast(columns, states[encoded.indices.to_numpy()])

    def _read(self, text: str) -> tuple[tuple[Any, ...], int]:
        trimmed = text.strip()
        value = self._parse(trimmed) if trimmed else None
        if value is None:
            result = (self._nothing, BAD if trimmed else EMPTY)
        else:
            result = (value if isinstance(value, tuple) else (value,), OK)
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = result
        return result


def cast_text(column: Any) -> Cast:
    """Trim; empty cells become null."""
    text = _trim(column)
    _, starts, ends = parts(text)
    return Cast((masked(text, starts != ends),), None)


def parts(column: Any) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Return the text of a column of strings without nulls, and where each string starts and ends in it."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    text = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return text, bounds[:-1], bounds[1:]


def masked(column: Any, is_some: NDArray[np.bool_]) -> Any:
    """Return a column of strings with nulls where `is_some` does not hold; the text is shared."""
    if is_some.all():
        return column
    _, offsets, data = column.buffers()
    bits = np.packbits(np.pad(is_some, (column.offset, 0)), bitorder="little")
    return pa.StringArray.from_buffers(len(column), offsets, data, pa.py_buffer(bits), -1, column.offset)


def _trim(column: Any) -> Any:
    text, starts, ends = parts(column)
    if not len(starts) or starts[0] == ends[-1]:
        return column
    # As signed numbers, bytes beyond ASCII are less than any space.
    is_plain = text[starts[0] : ends[-1]].view(np.int8).min() > SPACE
    return column if is_plain else pc.utf8_trim_whitespace(column)
