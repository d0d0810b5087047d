"""Chance that is the same everywhere: a hash of (seed, what it is drawn for, index), no state and no order.

numpy promises no stable streams between its versions, and a shipped file must be made again byte for byte.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

# The constants of splitmix64 (Steele, Lea and Flood, 2014).
_STEP = 0x9E3779B97F4A7C15
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_WORD = (1 << 64) - 1


class Draw:
    """Draws for one seed; `what` names the quantity, so that two of them are independent."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def below(self, limit: int, what: str, index: Ints) -> Ints:
        """Return an integer in [0, limit) for every index."""
        start = np.uint64((self._seed * _STEP + zlib.crc32(what.encode()) * 0x2545F4914F6CDD1D) & _WORD)
        bits = index.astype(np.uint64) * np.uint64(_STEP) + start
        bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
        bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
        bits ^= bits >> np.uint64(31)
        return (((bits >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)

    def chance(self, share: float, what: str, index: Ints) -> Mask:
        """Return True for about `share` of the indexes."""
        return self.below(1_000_000, what, index) < round(share * 1_000_000)
