"""Casts columns of text (`pa.StringArray` without nulls) to columns of values.

- `DictionaryCast` parses each distinct text of a block once, with a function of `values.py`: most columns have few.
- `UniformCast` and `PatientCast` read a whole block with array arithmetic if every cell is written in the usual way,
  and otherwise fall back to a `DictionaryCast`. Both ways give the same values.
- `cast_text` only trims: identifiers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facnet_grpc.ingest import values

OK, EMPTY, BAD = range(3)
States = NDArray[np.int8]

_REMEMBERED = 50_000  # distinct texts of one column
_LONGEST_REMEMBERED = 256
SPACE = 0x20
_NAM_LENGTH = 12
_NAM_END = b" - "
_NAME_AT = _NAM_LENGTH + len(_NAM_END)
_ASCII = 0x7F
# First bytes of spaces beyond ASCII: U+0085 and U+00A0; U+1680; U+2000 and on; U+3000.
_SPACE_LEADS = np.array([0xC2, 0xE1, 0xE2, 0xE3], np.uint8)


class Cast(NamedTuple):
    """Columns of values, null where a cell is empty or bad, and the state (`OK`, `EMPTY`, `BAD`) of each cell.

    `states` is None if all are `OK`, or if the column is never bad.
    """

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


Bytes = NDArray[np.uint8]

_ZERO, _COLON = b"0:"
_CODE_LENGTH, _CLOCK_LENGTH = 5, 5


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of a column that are not empty."""

    text: Bytes
    """One after the other."""
    lengths: NDArray[np.int32]

    def rows(self, width: int) -> Bytes | None:
        """Return the text, one row a cell, if all are so wide."""
        return self.text.reshape(-1, width) if (self.lengths == width).all() else None


class UniformCast:
    """Reads a column at once if that can be done, otherwise as `slow` does."""

    def __init__(self, quick: Callable[[Cells], Any | None], slow: Callable[[Any], Cast]) -> None:
        """`quick` returns a value for each cell, True if they are to stay as they are, or None if it cannot tell."""
        self._quick = quick
        self._slow = slow

    def __call__(self, column: Any) -> Cast:
        """Cast a column of strings without nulls."""
        text, starts, ends = parts(column)
        lengths = ends - starts
        is_some = lengths > 0
        is_all = bool(is_some.all())
        if not is_some.any():
            return self._slow(column)
        found = self._quick(Cells(text[starts[0] : ends[-1]], lengths if is_all else lengths[is_some]))
        if found is None:
            return self._slow(column)
        states = None if is_all else np.where(is_some, OK, EMPTY).astype(np.int8)
        if found is True:
            return Cast((masked(column, is_some),), states)
        if is_all:
            return Cast((pa.array(found),), None)
        spread = np.zeros(len(column), found.dtype)
        spread[is_some] = found
        return Cast((pa.array(spread, mask=~is_some),), states)


def codes(cells: Cells) -> bool | None:
    """Tell whether all are five digits."""
    rows = cells.rows(_CODE_LENGTH)
    return True if rows is not None and _are_digits(rows - np.uint8(_ZERO)) else None


def clocks(cells: Cells) -> NDArray[np.int32] | None:
    """Read times such as `09:30`, in seconds."""
    rows = cells.rows(_CLOCK_LENGTH)
    if rows is None or not (rows[:, 2] == _COLON).all():
        return None
    digits = np.ascontiguousarray(rows[:, (0, 1, 3, 4)].T) - np.uint8(_ZERO)
    if not _are_digits(digits):
        return None
    hours, minutes = _number(digits[0], digits[1]), _number(digits[2], digits[3])
    if hours.max() >= 24 or minutes.max() >= 60:  # noqa: PLR2004 - a clock
        return None
    return hours * np.int32(3600) + minutes * np.int32(60)


def _are_digits(digits: Bytes) -> bool:
    return bool((digits < 10).all())  # noqa: PLR2004 - digits


def _number(tens: Bytes, ones: Bytes) -> NDArray[np.int32]:
    return np.asarray(tens * np.uint8(10) + ones, np.int32)


class PatientCast:
    """Takes `NAM - LAST, FIRST` apart; cell by cell if some cell of a block is not plain."""

    def __init__(self) -> None:
        self._slow = DictionaryCast(values.patient, pa.string(), pa.string())

    def __call__(self, column: Any) -> Cast:
        """Cast a column of strings without nulls to keys and names."""
        text, starts, ends = parts(column)
        lengths = ends - starts
        is_some = lengths > 0
        is_all = bool(is_some.all())
        if not is_all:
            starts, ends = starts[is_some], ends[is_some]
        if not len(starts) or (lengths[is_some] <= _NAME_AT).any():
            return self._slow(column)
        cells = column.cast(pa.binary())
        keys = pc.binary_slice(cells, 0, _NAM_LENGTH)
        ends_of_nam = pc.binary_slice(cells, _NAM_LENGTH, _NAME_AT)
        if not (_are_nams(_text_of(keys)) and _are_parted(_text_of(ends_of_nam)) and _are_trimmed(text, starts, ends)):
            return self._slow(column)
        names = pc.binary_slice(cells, _NAME_AT, int(lengths.max()))
        return Cast((masked(keys.view(pa.string()), is_some), masked(names.view(pa.string()), is_some)), None)


def _text_of(column: Any) -> NDArray[np.uint8]:
    text, starts, ends = parts(column)
    return text[starts[0] : ends[-1]]


def _are_nams(text: NDArray[np.uint8]) -> bool:
    """Tell whether all are letters and digits as they should be, none masked."""
    is_capital = text - np.uint8(ord("A")) < 26  # noqa: PLR2004 - letters
    is_digit = text - np.uint8(ord("0")) < 10  # noqa: PLR2004 - digits
    if not (is_capital | is_digit).all():
        return False
    middles = text.reshape(-1, _NAM_LENGTH)[:, 4:8]
    some = middles[middles[:, 0] == ord("X")]
    return not bool((some == ord("X")).all(axis=1).any())


def _are_parted(text: NDArray[np.uint8]) -> bool:
    return text.tobytes() == _NAM_END * (len(text) // len(_NAM_END))


def _are_trimmed(text: NDArray[np.uint8], starts: NDArray[np.int32], ends: NDArray[np.int32]) -> bool:
    """Tell whether no name begins or ends in a space; beyond ASCII by the bytes that a space could begin with."""
    firsts, lasts = text[starts + _NAME_AT], text[ends - 1]
    if firsts.min() <= SPACE or lasts.min() <= SPACE:
        return False
    if firsts.max() > _ASCII and np.isin(firsts, _SPACE_LEADS).any():
        return False
    if lasts.max() <= _ASCII:
        return True
    rows = np.flatnonzero(lasts > _ASCII)
    is_two = text[ends[rows] - 2] == _SPACE_LEADS[0]
    is_three = np.isin(text[ends[rows] - 3], _SPACE_LEADS[1:])
    return not bool((is_two | is_three).any())
