"""The acts that sample lines bill: code, tariff in a cabinet, tariff in an establishment, both in cents.

Tariffs of 2019-10-01, as in the RAMQ manual for general practitioners. Codes come in pairs: the first for doctors with
fewer than 500 registered patients, the second for the others.

Chance that is the same everywhere: a hash of (seed, what it is drawn for, index), no state and no order.

numpy promises no stable streams between its versions, and a shipped file must be made again byte for byte.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_ACTS = (
    ("15803", 4285, 3225),
    ("15804", 4915, 3695),
    ("15817", 5065, 3815),
    ("15818", 5825, 4380),
    ("15823", 5350, 4050),
    ("15824", 5980, 4520),
    ("15837", 6130, 4630),
    ("15838", 6885, 5195),
    ("15801", 8575, 6450),
    ("15802", 9940, 7475),
    ("15815", 10180, 7655),
    ("15816", 11850, 8915),
    ("15819", 9635, 7265),
    ("15820", 11240, 8480),
    ("15839", 11240, 8480),
    ("15840", 12915, 9730),
    ("15773", 4080, 3065),
    ("15774", 4705, 3540),
    ("15777", 4850, 3645),
    ("15778", 5605, 4215),
    ("08857", 5970, 4975),
    ("08859", 2985, 2487),
    ("08858", 5970, 4975),
    ("08860", 2985, 2487),
    ("08875", 935, 935),
    ("19928", 3240, 3240),
    ("19929", 6480, 6480),
)

CODES = [code for code, _, _ in _ACTS]
# Tariffs in cents: row 0 in a cabinet, row 1 in an establishment.
TARIFFS = np.array([[cabinet for _, cabinet, _ in _ACTS], [elsewhere for _, _, elsewhere in _ACTS]])

# Rows of the table above. To a visit, add 1 for a doctor with 500 patients or more, 2 for a patient of 80 or more.
FOLLOW_UP = 0
FOLLOW_UP_VULNERABLE = 4
TAKE_CHARGE = 8
PERIODIC = 12
WALK_IN = 16
INTERVENTION = 20  # add 1 for an additional period, 2 outside of a cabinet
SUPPLEMENT = 24
FEE_SMALL = 25
FEE_LARGE = 26


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
