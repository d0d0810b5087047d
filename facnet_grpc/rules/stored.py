"""Columns of Arrow as numpy sees them: without a copy, and without a wider one, where that is possible."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.rules.arrays import Ints, Mask


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
