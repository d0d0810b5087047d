"""What the rules calculate with: numbers of lines, as narrow as they are stored or 64 bits wide, and masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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


def ask(rows: Ints, test: Callable[[Ints], Mask]) -> Mask:
    """Return for which of many rows a test holds, asked of some at a time."""
    return np.concatenate([np.zeros(0, np.bool_), *(test(rows[part]) for part in slices(len(rows)))])


def figure(rows: Ints, of: Callable[[Ints], Ints]) -> Ints:
    """Return a number of 32 bits for each of many rows, worked out for some at a time."""
    return np.concatenate([np.zeros(0, np.int32), *(of(rows[part]).astype(np.int32) for part in slices(len(rows)))])


def look_up(answers: Mask, index: Ints) -> Mask:
    """Return `answers[index]` for many indices of few bits, which numpy would make 64 bits wide all at once."""
    return ask(index, lambda some: answers[some])


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
