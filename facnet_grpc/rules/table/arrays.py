"""Columns of Arrow as numpy sees them: without a copy, and without a wider one, where that is possible.

Texts of digits as numbers: an invoice takes four bytes instead of thirteen. A 1 in front keeps leading zeros.

What the rules calculate with: numbers of lines, as narrow as they are stored or 64 bits wide, and masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def values_of(array: pa.Array) -> tuple[Ints, Mask | None]:
    """Return numbers, days or times as they are in memory, and which of them mean something; None for all."""
    known = np.asarray(array.is_valid()) if array.null_count else None
    if pa.types.is_date(array.type) or pa.types.is_time(array.type):
        array = array.view(pa.int32())
    _, buffer = array.buffers()
    return np.asarray(pa.Array.from_buffers(array.type, len(array), [None, buffer], 0, array.offset)), known


def indices_of(array: pa.Array) -> Ints:
    """Return the index of each value in the dictionary; -1 for none and for an empty text."""
    indices = array.indices.fill_null(-1) if array.null_count else array.indices
    numbers: Ints = indices.to_numpy(zero_copy_only=False)
    blank = blanks(array.dictionary)
    if not blank.any():
        return numbers
    # One more answer at the end, for the index -1.
    return np.where(np.append(blank, False)[numbers], numbers.dtype.type(-1), numbers)


def blanks(texts: pa.Array) -> Mask:
    """Return which texts of a dictionary say nothing."""
    return np.asarray(pc.fill_null(pc.equal(texts, ""), fill_value=True))


_MOST = 18  # digits, which with the 1 in front fit into 64 bits


def pack(texts: pa.Array) -> pa.Array | None:
    """Return texts as numbers (int64, null for null), or None unless each is 1 to 18 digits and nothing else."""
    if not pc.all(pc.ascii_is_decimal(texts), min_count=0).as_py():
        return None
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > _MOST:
        return None
    return pc.binary_join_element_wise("1", texts, "").cast(pa.int64())


def unpack(values: pa.Array) -> pa.Array:
    """Return the texts of a column that may have been packed."""
    if not pa.types.is_integer(values.type):
        return values
    return pc.utf8_slice_codeunits(values.cast(pa.string()), 1)


# What a `Column` gives is 64 bits wide. Indices and record numbers stay as narrow as they are stored, for they are read
# and never changed: make them wider before adding, multiplying or shifting.
Ints = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]

_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Column:
    """A number for each line: `column[rows]`, or all of them as `column[:]`.

    Numbers are made 64 bits wide when they are asked for, so that those of a whole file are never there like that.
    """

    of: Callable[[Any], Ints]

    def __getitem__(self, rows: Ints | Mask | slice) -> Ints:
        """Return the numbers of some rows."""
        return self.of(rows)

    @classmethod
    def stored(cls, values: Ints, known: Mask | None = None, missing: int = 0) -> Column:
        """Return a column of numbers that are kept as narrow as they are, `missing` where they are not known."""
        if known is None:
            return cls(lambda rows: values[rows].astype(np.int64))
        return cls(lambda rows: np.where(known[rows], values[rows], np.int64(missing)))


def slices(count: int) -> Sequence[slice]:
    """Cut `count` rows into slices that are small beside a large file, and large beside what a call of numpy costs."""
    return [slice(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]


def test_in_slices(rows: Ints, test: Callable[[Ints], Mask]) -> Mask:
    """Return for which of many rows a test holds, asked of some at a time."""
    return np.concatenate([np.zeros(0, np.bool_), *(test(rows[part]) for part in slices(len(rows)))])


def in_slices(rows: Ints, of: Callable[[Ints], Ints]) -> Ints:
    """Return a number of 32 bits for each of many rows, worked out for some at a time."""
    return np.concatenate([np.zeros(0, np.int32), *(of(rows[part]).astype(np.int32) for part in slices(len(rows)))])


def look_up(answers: Mask, index: Ints) -> Mask:
    """Return `answers[index]` for many indices of few bits, which numpy would make 64 bits wide all at once."""
    return test_in_slices(index, lambda some: answers[some])


def dense(keys: Ints | Column, count: int, bound: int) -> tuple[Ints, int]:
    """Number `count` keys 0 … bound-1 without gaps, keeping their order; return the numbers and how many there are."""
    if bound > 4 * count + 1_000_000:  # a table of all possible keys would be larger than sorting is slow
        distinct, numbers = np.unique(keys[:], return_inverse=True)
        return numbers.astype(np.int32), len(distinct)
    present = np.zeros(bound, np.bool_)
    for part in slices(count):
        present[keys[part]] = True
    ranks = np.cumsum(present, dtype=np.int32)
    ranks -= 1
    dense_keys = np.empty(count, np.int32)
    for part in slices(count):
        dense_keys[part] = ranks[keys[part]]
    return dense_keys, int(present.sum())


# Numbers for equal values, without a hash table of all of them, which would take several times what the values do:
# values are shared out, equal ones together, and numbered share by share.
_SHARE_ROWS = 1 << 16  # values whose hash table is small enough
_MOST_SHARES = 16  # each is looked for in all of them
_MIXER = np.int64(-7046029254386353131)  # odd, of no pattern: what is left of a product depends on all bits of a key
_WEIGHTS = (1, 11, 101, 1009)


def number_texts(texts: pa.Array) -> tuple[Ints, pa.Array]:
    """Number texts; return the numbers (32 bits), and each text once. There may be no nulls."""
    numbers, leads = _numbered(texts, lambda: _mixtures(texts))
    return numbers, texts.filter(pa.array(leads))


def number(keys: Ints) -> tuple[Ints, int]:
    """Number keys; return the numbers (32 bits), and how many different ones there are."""
    numbers, leads = _numbered(pa.array(keys), lambda: keys)
    return numbers, int(leads.sum())


def _numbered(values: pa.Array, mixture: Callable[[], Ints]) -> tuple[Ints, Mask]:
    """Return the numbers of values, and which of them are the first of their kind."""
    every = np.arange(len(values), dtype=np.int32)
    leader = np.empty(len(values), np.int32)  # the first value that is the same
    for rows in _shares(len(values), mixture):
        encoded = (values if rows is None else values.take(pa.array(rows))).dictionary_encode()
        numbers = np.asarray(encoded.indices)
        positions = every if rows is None else rows
        first = np.empty(len(encoded.dictionary), np.int32)
        first[numbers[::-1]] = positions[::-1]  # the earliest is written last, and stays
        leader[positions] = first[numbers]
    leads = leader == every
    ranks: Ints = np.cumsum(leads, dtype=np.int32)[leader]
    ranks -= 1
    return ranks, leads


def _shares(count: int, mixture: Callable[[], Ints]) -> Iterator[Ints | None]:
    """Yield rows of values, equal ones together; None for all."""
    shares = min(-(-count // _SHARE_ROWS), _MOST_SHARES)
    if shares <= 1:
        yield None
        return
    share, keys = np.empty(count, np.int8), mixture()
    for part in slices(count):
        share[part] = (keys[part] * _MIXER >> np.int64(32)) % shares
    del keys
    for one in range(shares):
        yield np.flatnonzero(share == one).astype(np.int32)


def _mixtures(texts: pa.Array) -> Ints:
    """Return a number for each text, the same for the same text: from its last characters, which vary most in a NAM."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(data, np.uint8)
    starts, ends = bounds[:-1], bounds[1:]
    mixed = np.zeros(len(texts), np.int32)
    for back, weight in enumerate(_WEIGHTS, 1):
        # Of a text that is too short the first character once more.
        mixed += characters[np.clip(ends - back, starts, len(characters) - 1)] * np.int32(weight)
    return np.where(ends > starts, mixed, np.int32(0))
