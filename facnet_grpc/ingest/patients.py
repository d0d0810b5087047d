"""The column of patients, who differ from line to line: cut at once where all cells of a block are plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facnet_grpc.ingest import values
from facnet_grpc.ingest.casts import SPACE, Cast, DictionaryCast, masked, parts

_NAM_LENGTH = 12
_NAM_END = b" - "
_NAME_AT = _NAM_LENGTH + len(_NAM_END)
_ASCII = 0x7F
# First bytes of spaces beyond ASCII: U+0085 and U+00A0; U+1680; U+2000 and on; U+3000.
_SPACE_LEADS = np.array([0xC2, 0xE1, 0xE2, 0xE3], np.uint8)


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
        if not (_are_nams(_text(keys)) and _are_parted(_text(ends_of_nam)) and _are_trimmed(text, starts, ends)):
            return self._slow(column)
        names = pc.binary_slice(cells, _NAME_AT, int(lengths.max()))
        return Cast((masked(keys.view(pa.string()), is_some), masked(names.view(pa.string()), is_some)), None)


def _text(column: Any) -> NDArray[np.uint8]:
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
