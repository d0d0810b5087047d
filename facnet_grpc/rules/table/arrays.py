"""Arrow columns as numpy arrays, without a copy where that is possible, and operations on them.

Arrays have one value a line of the file unless a docstring says otherwise. `Ints` are signed integers of any width,
`Mask` are booleans. Operations that need 64 bits work on slices, so that the wide values of a whole file are never in
memory at once.
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
    """Return the values of an int, date32 or time32 array without a copy, and the mask of those that are not null.

    The mask is None if there are no nulls; where it is False the value is undefined. The values are as wide as the
    array (dates and times: 32 bits).
    """
    known = np.asarray(array.is_valid()) if array.null_count else None
    if pa.types.is_date(array.type) or pa.types.is_time(array.type):
        array = array.view(pa.int32())
    _, buffer = array.buffers()
    return np.asarray(pa.Array.from_buffers(array.type, len(array), [None, buffer], 0, array.offset)), known


def indices_of(array: pa.Array) -> Ints:
    """Return the indices of a dictionary array, as wide as they are stored; -1 for null and for an empty text."""
    indices = array.indices.fill_null(-1) if array.null_count else array.indices
    numbers: Ints = indices.to_numpy(zero_copy_only=False)
    blank = blanks(array.dictionary)
    if not blank.any():
        return numbers
    # The appended value is that of the index -1.
    return np.where(np.append(blank, False)[numbers], numbers.dtype.type(-1), numbers)


def blanks(texts: pa.Array) -> Mask:
    """Return which texts are null or empty."""
    return np.asarray(pc.fill_null(pc.equal(texts, ""), fill_value=True))


_MAX_DIGITS = 18  # with the 1 in front they fit into 64 bits


def pack(texts: pa.Array) -> pa.Array | None:
    """Return a string array as int64, null for null; None unless each text consists of 1 to 18 ASCII digits.

    A 1 in front of the digits keeps leading zeros: "007" is 1007. An invoice takes four bytes instead of thirteen.
    """
    if not pc.all(pc.ascii_is_decimal(texts), min_count=0).as_py():
        return None
    if (pc.max(pc.binary_length(texts)).as_py() or 0) > _MAX_DIGITS:
        return None
    return pc.binary_join_element_wise("1", texts, "").cast(pa.int64())


def unpack(values: pa.Array) -> pa.Array:
    """Return the texts of an integer array that `pack` returned (narrowed or not); another array as it is."""
    if not pa.types.is_integer(values.type):
        return values
    return pc.utf8_slice_codeunits(values.cast(pa.string()), 1)


# A `Column` returns int64. Indices and record numbers are as narrow as they are stored: widen them to int64 before
# adding, multiplying or shifting.
Ints = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]

_SLICE_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Column:
    """One integer a line, read as `column[rows]`, or `column[:]` for all lines.

    Values are computed, and widened to int64, for the given rows only.
    """

    of: Callable[[Any], Ints]  # from rows (positions, mask or slice) to their values

    def __getitem__(self, rows: Ints | Mask | slice) -> Ints:
        """Return the values of `rows`, one for each."""
        return self.of(rows)

    @classmethod
    def stored(cls, values: Ints, known: Mask | None = None, missing: int = 0) -> Column:
        """Return a column of `values`, with `missing` where the mask `known` is False (None: all are known)."""
        if known is None:
            return cls(lambda rows: values[rows].astype(np.int64))
        return cls(lambda rows: np.where(known[rows], values[rows], np.int64(missing)))


def slices(count: int) -> Sequence[slice]:
    """Return slices that cover 0 … `count`, of `_SLICE_ROWS` rows each and fewer in the last.

    They are small compared with a large file, and large enough that the cost of numpy calls does not count.
    """
    return [slice(first, min(first + _SLICE_ROWS, count)) for first in range(0, count, _SLICE_ROWS)]


def mask_in_slices(rows: Ints, test: Callable[[Ints], Mask]) -> Mask:
    """Return the mask of `test(rows)`, computed slice by slice."""
    return np.concatenate([np.zeros(0, np.bool_), *(test(rows[part]) for part in slices(len(rows)))])


def in_slices(rows: Ints, of: Callable[[Ints], Ints]) -> Ints:
    """Return `of(rows)` as int32, computed slice by slice."""
    parts = (of(rows[part]).astype(np.int32) for part in slices(len(rows)))
    return np.concatenate([np.zeros(0, np.int32), *parts])


def look_up(answers: Mask, index: Ints) -> Mask:
    """Return `answers[index]`, slice by slice: numpy would widen narrow indices to 64 bits all at once."""
    return mask_in_slices(index, lambda some: answers[some])


def dense(keys: Ints | Column, count: int, bound: int) -> tuple[Ints, int]:
    """Replace `count` keys from 0 … bound-1 by their ranks; return the ranks (int32) and the number of distinct keys.

    Ranks start at 0, have no gaps and keep the order of the keys.
    """
    if bound > 4 * count + 1_000_000:  # a table of all possible keys would take more memory than sorting
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


# Equal values get equal numbers. One hash table of all values would take several times their memory: values are hash
# partitioned, and numbered partition by partition.
PARTITION_ROWS = 1 << 16  # values whose hash table is small enough
_MAX_PARTITIONS = 16  # finding the rows of a partition reads the partition of all rows
_HASH_MULTIPLIER = np.int64(-7046029254386353131)  # odd and without a pattern: high bits depend on all bits of a key
_WEIGHTS = (1, 11, 101, 1009)


def number_texts(texts: pa.Array, partition_rows: int = PARTITION_ROWS) -> tuple[Ints, pa.Array]:
    """Number the texts of a string array without nulls, in order of first appearance.

    Returns the number of each text (int32, from 0) and the distinct texts, so that `distinct[number]` is the text.
    """
    numbers, is_first = _numbered(texts, lambda: _hashes(texts), partition_rows)
    return numbers, texts.filter(pa.array(is_first))


def number(keys: Ints, partition_rows: int = PARTITION_ROWS) -> tuple[Ints, int]:
    """Number integer keys in order of first appearance; return the numbers (int32, from 0) and how many there are."""
    numbers, is_first = _numbered(pa.array(keys), lambda: keys, partition_rows)
    return numbers, int(is_first.sum())


def _numbered(values: pa.Array, hashes: Callable[[], Ints], partition_rows: int) -> tuple[Ints, Mask]:
    """Return the number of each value, and the mask of those that are the first of their kind."""
    every = np.arange(len(values), dtype=np.int32)
    first_of = np.empty(len(values), np.int32)  # the position of the first equal value
    for rows in _partitions(len(values), hashes, partition_rows):
        encoded = (values if rows is None else values.take(pa.array(rows))).dictionary_encode()
        numbers = np.asarray(encoded.indices)
        positions = every if rows is None else rows
        first = np.empty(len(encoded.dictionary), np.int32)
        first[numbers[::-1]] = positions[::-1]  # the earliest is written last, and stays
        first_of[positions] = first[numbers]
    is_first = first_of == every
    ranks: Ints = np.cumsum(is_first, dtype=np.int32)[first_of]
    ranks -= 1
    return ranks, is_first


def _partitions(count: int, hashes: Callable[[], Ints], partition_rows: int) -> Iterator[Ints | None]:
    """Yield the rows (int32) of each partition, equal values in the same one; None for all rows."""
    partitions = min(-(-count // partition_rows), _MAX_PARTITIONS)
    if partitions <= 1:
        yield None
        return
    partition, keys = np.empty(count, np.int8), hashes()
    for part in slices(count):
        partition[part] = (keys[part] * _HASH_MULTIPLIER >> np.int64(32)) % partitions
    del keys
    for number_of_partition in range(partitions):
        yield np.flatnonzero(partition == number_of_partition).astype(np.int32)


def _hashes(texts: pa.Array) -> Ints:
    """Return a hash (int32) of each text: of its last characters, which vary most in a NAM."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(data, np.uint8)
    starts, ends = bounds[:-1], bounds[1:]
    hashes = np.zeros(len(texts), np.int32)
    for back, weight in enumerate(_WEIGHTS, 1):
        # A text that is too short gives its first character again.
        hashes += characters[np.clip(ends - back, starts, len(characters) - 1)] * np.int32(weight)
    return np.where(ends > starts, hashes, np.int32(0))
