"""Columns whose cells are all written in the usual way are read at once, with arithmetic on their bytes.

A block with a cell that is written otherwise, however rare, is left to the slow way, which knows all of them: each
function here says None then. What both can read, they read alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facnet_grpc.ingest.casts import EMPTY, OK, Cast, masked, parts

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
