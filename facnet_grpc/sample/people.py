"""Invented people: names put together from syllables, health insurance numbers put together from hashes.

A NAM is 3 letters of the surname, 1 of the first name, YY, MM (+50 for women), DD, a sequence and a check character.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.sample.acts import Draw, Ints, Mask

_SURNAME_STARTS = (
    "Bél",
    "Cor",
    "Dav",
    "Fré",
    "Gua",
    "Lor",
    "Mar",
    "Nad",
    "Pér",
    "Rou",
    "Sab",
    "Tré",
    "Val",
    "Zél",
    "Ost",
    "Hul",
)
_SURNAME_MIDDLES = ("a", "an", "é", "i", "o", "ou", "um", "ol", "ar", "er", "in", "on", "ul", "av", "el", "im")
_SURNAME_ENDS = (
    "bec",
    "court",
    "dière",
    "fond",
    "gnac",
    "lier",
    "mont",
    "nelle",
    "quin",
    "rand",
    "sart",
    "tois",
    "vert",
    "zac",
    "chon",
    "pré",
)
_FIRST_STARTS = ("Al", "Bé", "Cé", "Do", "Él", "Fa", "Gé", "Ho", "Is", "Jo", "Lé", "Ma", "No", "Od", "Ré", "So")
_FIRST_ENDS = (
    "bane",
    "cile",
    "dine",
    "fane",
    "gaël",
    "line",
    "mir",
    "nor",
    "phie",
    "rane",
    "sine",
    "thée",
    "van",
    "xane",
    "zia",
    "lou",
)
_SURNAMES = len(_SURNAME_STARTS) * len(_SURNAME_MIDDLES) * len(_SURNAME_ENDS)
_FIRST_NAMES = len(_FIRST_STARTS) * len(_FIRST_ENDS)

# Weights of the check character over letters, YYYY, sex, MM, DD and sequence, in EBCDIC.
_WEIGHTS = (1, 3, 7, 9, 1, 7, 1, 3, 4, 5, 7, 6, 9, 1)
_DAYS = 28  # of each month: enough, and every one exists
_YOUNG = (1948, 2015)  # first and last year of birth: no age in 2025 is near 80
_OLD = (1930, 1943)


def fold(text: str) -> str:
    """Return the text in upper case, without accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().upper()


def surname(number: int) -> str:
    """Return an invented surname."""
    number, end = divmod(number % _SURNAMES, len(_SURNAME_ENDS))
    start, middle = divmod(number, len(_SURNAME_MIDDLES))
    return _SURNAME_STARTS[start] + _SURNAME_MIDDLES[middle] + _SURNAME_ENDS[end]


def first_name(number: int) -> str:
    """Return an invented first name."""
    start, end = divmod(number % _FIRST_NAMES, len(_FIRST_ENDS))
    return _FIRST_STARTS[start] + _FIRST_ENDS[end]


def doctors(numbers: Ints) -> list[str]:
    """Return the doctors' cells, with the trailing spaces that exports have."""
    cells = []
    for number in numbers.tolist():
        licence = 1_100_000 + number * 7919 % 899_981  # a prime: no two doctors share it
        name = f"{surname(number * 1237 + 5)}, {first_name(number * 59 + 3)}"
        cells.append(f"{licence}-{number * 41 % 90_000 + 10_000} | {name} - Médecine familiale  ")
    return cells


def patients(draw: Draw, numbers: Ints, *, old: Mask) -> pa.Array:
    """Return `NAM - LAST, FIRST` for every patient number."""
    last = draw.below(_SURNAMES, "surname", numbers)
    first = draw.below(_FIRST_NAMES, "first name", numbers)
    birth = _birth(draw, numbers, old)
    sequence = draw.below(10, "sequence", numbers)
    names, births = _names(), _births()
    total = names.last_sums[last] + names.first_sums[first] + births.sums[birth] + (240 + sequence) * _WEIGHTS[-1]
    digits = _two_digits().take(pa.array(sequence * 10 + total % 10))
    return pc.binary_join_element_wise(
        names.last_prefixes.take(pa.array(last)),
        names.first_prefixes.take(pa.array(first)),
        births.texts.take(pa.array(birth)),
        digits,
        names.last_tails.take(pa.array(last)),
        names.first_tails.take(pa.array(first)),
        "",
    )


def _birth(draw: Draw, numbers: Ints, old: Mask) -> Ints:
    first = np.where(old, _OLD[0], _YOUNG[0])
    years = np.where(old, _OLD[1] - _OLD[0] + 1, _YOUNG[1] - _YOUNG[0] + 1)
    year = first - _OLD[0] + draw.below(1 << 20, "birth year", numbers) % years
    return year * (24 * _DAYS) + draw.below(24 * _DAYS, "birthday", numbers)


class _Names:
    """Columns by number: the letters of the NAM, the rest of the cell, what they add to the check sum."""

    def __init__(self) -> None:
        last = [surname(number) for number in range(_SURNAMES)]
        first = [first_name(number) for number in range(_FIRST_NAMES)]
        self.last_prefixes = pa.array([fold(name)[:3] for name in last])
        self.first_prefixes = pa.array([fold(name)[:1] for name in first])
        self.last_tails = pa.array([f" - {name.upper()}, " for name in last])
        self.first_tails = pa.array([name.upper() for name in first])
        self.last_sums = np.array([_check_sum(fold(name)[:3], 0) for name in last])
        self.first_sums = np.array([_check_sum(fold(name)[:1], 3) for name in first])


class _Births:
    """Columns by number: YYMMDD as in a NAM, what sex and birthday add to the check sum."""

    def __init__(self) -> None:
        texts, sums = [], []
        for year in range(_OLD[0], _YOUNG[1] + 1):
            for sex, added in (("M", 0), ("F", 50)):
                for month in range(1, 13):
                    base = _check_sum(f"{year}{sex}{month:02}", 4)
                    texts += [f"{year % 100:02}{month + added:02}{day:02}" for day in range(1, _DAYS + 1)]
                    sums += [base + _check_sum(f"{day:02}", 11) for day in range(1, _DAYS + 1)]
        self.texts = pa.array(texts)
        self.sums = np.array(sums)


@cache
def _names() -> _Names:
    return _Names()


@cache
def _births() -> _Births:
    return _Births()


@cache
def _two_digits() -> pa.Array:
    return pa.array([f"{number:02}" for number in range(100)])


def _check_sum(text: str, position: int) -> int:
    codes = text.encode("cp037")
    return sum(code * weight for code, weight in zip(codes, _WEIGHTS[position:], strict=False))
