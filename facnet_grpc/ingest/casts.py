"""Columns of text to columns of values.

Most columns hold few distinct texts, so each is read once a block by the functions of `values.py`. Columns of
identifiers are only trimmed, and patients, who differ from line to line, are taken apart with numpy.
"""

from __future__ import annotations

from collections.abc import Callable
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
_SPACE = 0x20
_ASCII = 0x7F
# First bytes of spaces beyond ASCII: U+0085 and U+00A0; U+1680; U+2000 and on; U+3000.
_SPACE_LEADS = np.array([0xC2, 0xE1, 0xE2, 0xE3], np.uint8)
_NAM_LENGTH = 12
_NAM_END = np.frombuffer(b" - ", np.uint8)


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
    lengths = pc.binary_length(text)
    return Cast((pc.if_else(pc.equal(lengths, 0), pa.scalar(None, pa.string()), text),), None)


class PatientCast:
    """Takes `NAM - LAST, FIRST` apart: numpy if all cells of a block are plain, otherwise cell by cell."""

    def __init__(self) -> None:
        self._slow = DictionaryCast(values.patient, pa.string(), pa.string())

    def __call__(self, column: Any) -> Cast:
        """Cast a column of strings without nulls to keys and names."""
        text, starts, ends = _parts(column)
        is_empty = starts == ends
        rows = np.flatnonzero(~is_empty)
        width = _NAM_LENGTH + len(_NAM_END)
        if not len(rows) or (ends[rows] - starts[rows] <= width).any():
            return self._slow(column)
        heads = text[starts[rows, None] + np.arange(width + 1)]
        if not _are_plain(heads, text, ends[rows]):
            return self._slow(column)
        keys = _strings(np.ascontiguousarray(_upper(heads[:, :_NAM_LENGTH])))
        names = _without(text, starts, ends, starts[rows, None] + np.arange(width))
        if len(rows) == len(column):
            return Cast((keys, names), None)
        indexes = np.cumsum(~is_empty) - 1
        nullable = pa.array(indexes, mask=is_empty)
        blank = pa.array(is_empty)
        return Cast((keys.take(nullable), pc.if_else(blank, pa.scalar(None, pa.string()), names)), None)


def _are_plain(heads: NDArray[np.uint8], text: NDArray[np.uint8], ends: NDArray[np.int32]) -> bool:
    """Tell whether all cells are an unmasked NAM, ` - ` and a trimmed name: nothing but cutting is to be done."""
    upper = _upper(heads[:, :_NAM_LENGTH])
    is_letter = (upper >= ord("A")) & (upper <= ord("Z"))
    is_digit = (upper >= ord("0")) & (upper <= ord("9"))
    is_masked = (upper[:, 4:8] == ord("X")).all(axis=1)
    is_parted = (heads[:, _NAM_LENGTH:-1] == _NAM_END).all()
    firsts, lasts = heads[:, -1], text[ends - 1]
    is_trimmed = (firsts > _SPACE).all() and (lasts > _SPACE).all() and not np.isin(firsts, _SPACE_LEADS).any()
    is_nam = bool((is_letter | is_digit).all() and not is_masked.any())
    return bool(is_nam and is_parted and is_trimmed and not _ends_in_space(text, ends))


def _ends_in_space(text: NDArray[np.uint8], ends: NDArray[np.int32]) -> bool:
    """Tell whether some cell may end in a space beyond ASCII, by the first byte of its last letter."""
    is_two = text[ends - 2] == _SPACE_LEADS[0]
    is_three = np.isin(text[ends - 3], _SPACE_LEADS[1:])
    return bool(((text[ends - 1] > _ASCII) & (is_two | is_three)).any())


def _upper(text: NDArray[np.uint8]) -> NDArray[np.uint8]:
    is_lower = (text >= ord("a")) & (text <= ord("z"))
    return np.where(is_lower, text - np.uint8(_SPACE), text)


def _parts(column: Any) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Return the text of a column of strings without nulls, and where each string starts and ends in it."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    text = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return text, bounds[:-1], bounds[1:]


def _strings(rows: NDArray[np.uint8]) -> Any:
    """Return rows of bytes, all of one length, as a column of strings."""
    count, width = rows.shape
    offsets = pa.py_buffer(np.arange(0, (count + 1) * width, width, dtype=np.int32))
    return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(rows))


def _without(text: NDArray[np.uint8], starts: Any, ends: Any, heads: Any) -> Any:
    """Return a column of strings less the bytes at `heads`, which is one row of indexes for each string not empty."""
    is_kept = np.ones(len(text), np.bool_)
    is_kept[heads] = False
    is_kept[: starts[0]] = is_kept[ends[-1] :] = False
    cut = heads.shape[1] * np.cumsum(starts != ends)
    offsets = np.concatenate([[0], ends - starts[0] - cut]).astype(np.int32)
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(text[is_kept]))


def _trim(column: Any) -> Any:
    text, starts, ends = _parts(column)
    if not len(starts) or starts[0] == ends[-1]:
        return column
    text = text[starts[0] : ends[-1]]
    return pc.utf8_trim_whitespace(column) if text.min() <= _SPACE or text.max() > _ASCII else column
