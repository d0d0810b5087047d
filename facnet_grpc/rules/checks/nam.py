"""Health insurance numbers (NAM), over the whole dictionary of patients at once.

A NAM is 12 characters: 3 letters of the surname, 1 of the first name, YY, MM (+50 for women), DD, a sequence character
and a check character (the RAMQ's public description of its card). Some exports mask the birth date of it, as in
`ABCDxxxx1234`; such a patient's key is the masked NAM and the folded name.

The RAMQ does not publish the rule of the check character. Public implementations agree on weights over the EBCDIC codes
of name, birth year, sex, month, day and sequence, modulo 10; a NAM that differs gets a warning and is never refused.
A check character never fits both centuries: where it fits one, it tells the century of birth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.rules.table.arrays import Ints, Mask, slices

Bytes = npt.NDArray[np.uint8]

LENGTH = 12
NO_DAY = -(1 << 30)  # in place of a day that is not known

_WEIGHTS = np.array([1, 3, 7, 9, 1, 7, 1, 3, 4, 5, 7, 6, 9, 1], np.int64)
_EBCDIC = np.frombuffer(bytes(range(128)).decode("ascii").encode("cp037"), np.uint8).astype(np.int64)
_WOMEN_FROM = 51  # a month of 51-62 is a woman's


@dataclass(frozen=True, slots=True)
class Nams:
    """The NAMs in a dictionary of patient keys: every array has one entry a key."""

    well_formed: Mask  # four letters, six digits, two letters or digits, and nothing more
    masked: Mask  # birth year and month are struck out by `xxxx`
    check_fails: Mask  # well-formed, and the check character fits neither century
    _fits_late: Mask  # the check character is that of a birth from 2000 on
    _fits_early: Mask  # the same for the century before
    _late: Ints  # birth days if born from 2000 on; `NO_DAY` for no such day
    _early: Ints  # the same if born in the century before

    @classmethod
    def of(cls, keys: pa.Array) -> Nams:
        """Look at keys: texts, null for none. Some at a time, for what has to be calculated takes more than they do."""
        parts = [Characters(keys.slice(part.start, part.stop - part.start)) for part in slices(len(keys))]
        found = [part.figures() for part in parts or [Characters(keys)]]
        return cls(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def born(self, patients: Ints, days: Ints) -> Ints:
        """Return the birth day of each of `patients` (indices of keys) as of a day of service, `NO_DAY` if unknown.

        The century is that of the check character; where it fits neither, the latest one before the service. A birth
        day after the service is unknown.
        """
        late, early = self._late[patients], self._early[patients]
        latest = np.where((late != NO_DAY) & (late <= days), late, early)
        birth = np.where(self._fits_late[patients], late, np.where(self._fits_early[patients], early, latest))
        return np.where(birth <= days, birth, NO_DAY)

    def impossible(self, patients: Ints, days: Ints) -> Mask:
        """Return where no century gives a day of birth on or before the day of service."""
        late, early = self._late[patients], self._early[patients]
        found = ((late != NO_DAY) & (late <= days)) | ((early != NO_DAY) & (early <= days))
        wrong: Mask = self.well_formed[patients] & ~found
        return wrong


class Characters:
    """What the characters of keys say; every array has one entry a key."""

    def __init__(self, keys: pa.Array) -> None:
        self.keys = keys.fill_null("")

    def figures(self) -> tuple[Mask | Ints, ...]:
        """Return what `Nams` keeps, in its order."""
        late, early = (self.birth_days(century).astype(np.int32) for century in (2000, 1900))
        fits_late, fits_early = self.check_fits(2000), self.check_fits(1900)
        fails = self.well_formed & ~fits_early & ~fits_late
        return self.well_formed, self.masked, fails, fits_late, fits_early, late, early

    @cached_property
    def well_formed(self) -> Mask:
        """Four letters, six digits, two letters or digits, and nothing more."""
        exact: Mask = np.asarray(pc.equal(pc.binary_length(self.keys), LENGTH))
        return self._framed & _every(_digits(self._bytes[:, 4:8])) & exact

    @cached_property
    def masked(self) -> Mask:
        """Keys whose birth year and month are struck out by `xxxx`."""
        struck = (self._bytes[:, 4:8] | 0x20) == ord("x")
        return self._framed & _every(struck)

    def birth_days(self, century: int) -> Ints:
        """Return birth days (since 1970-01-01) if born in `century` (1900, 2000); `NO_DAY` for no such day."""
        year = century + self._number(4)
        month, day = self._month, self._number(8)
        first = (year - 1970) * 12 + (month - 1)
        days = _first_of(first) + (day - 1)
        fits = (month >= 1) & (month <= 12) & (day >= 1) & (days < _first_of(first + 1))  # noqa: PLR2004 - months
        return np.where(self.well_formed & fits, days, NO_DAY)

    def check_fits(self, century: int) -> Mask:
        """Return where the check character is what the weights give for a birth in `century`."""
        first, second = f"{century // 100}".encode("cp037")
        sums = self._sum_without_century + first * _WEIGHTS[4] + second * _WEIGHTS[5]
        fits: Mask = self.well_formed & (sums % 10 == self._bytes[:, 11].astype(np.int64) - ord("0"))
        return fits

    @cached_property
    def _bytes(self) -> Bytes:
        """The first 12 bytes of each key, 12 zeros for a key that is shorter."""
        head = pc.binary_slice(self.keys.cast(pa.binary()), 0, LENGTH)
        whole = pc.equal(pc.binary_length(head), LENGTH)
        padded = pc.if_else(whole, head, pa.scalar(b"0" * LENGTH)).cast(pa.binary(LENGTH))
        values = np.frombuffer(padded.buffers()[1], np.uint8)[padded.offset * LENGTH :]
        return values[: len(padded) * LENGTH].reshape(-1, LENGTH)

    @cached_property
    def _sum_without_century(self) -> Ints:
        """The weighted sum over name (weights 0-3), year (6-7), sex (8), month (9-10), day (11-12), sequence (13)."""
        total: Ints = np.where(self._woman, *(code * _WEIGHTS[8] for code in "FM".encode("cp037")))
        # A woman's month has 50 more than what is summed up.
        total -= np.where(self._woman, 5 * _WEIGHTS[9], 0)
        for column, weight in enumerate((0, 1, 2, 3, 6, 7, 9, 10, 11, 12, 13)):
            total += (_EBCDIC * _WEIGHTS[weight])[self._bytes[:, column] & 0x7F]
        return total

    @cached_property
    def _framed(self) -> Mask:
        head, tail = self._bytes[:, :4], self._bytes[:, 8:]
        ends = _letters(tail[:, 2:]) | _digits(tail[:, 2:])
        return _every(_letters(head)) & _every(_digits(tail[:, :2])) & _every(ends)

    @cached_property
    def _woman(self) -> Mask:
        return self._number(6) >= _WOMEN_FROM

    @cached_property
    def _month(self) -> Ints:
        return self._number(6) - np.where(self._woman, 50, 0)

    def _number(self, at: int) -> Ints:
        pair = self._bytes[:, at : at + 2].astype(np.int64) - ord("0")
        return pair[:, 0] * 10 + pair[:, 1]


def letters_of_names(names: pa.Array) -> Ints:
    """Return what `nam_letters` does as a number, 0 for null."""
    numbers = np.zeros(len(names), np.int32)
    for part in slices(len(names)):
        numbers[part], plain = _plain_fours(names.slice(part.start, part.stop - part.start))
        others = np.flatnonzero(~plain) + part.start
        numbers[others] = _fours(names.take(others), nam_letters)
    return numbers


def _plain_fours(names: pa.Array) -> tuple[Ints, Mask]:
    """Return four letters of each name as one number, and for which names that is all there is to it.

    These are the ones that begin with three capitals without accents, and have another one after the first comma and a
    blank: what else is in them changes nothing.
    """
    _, offsets, data = names.buffers()
    starts = np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names)].astype(np.int64)
    text = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    commas = pc.fill_null(pc.find_substring(names, ","), -1).to_numpy()
    found = np.flatnonzero((commas >= len("ABC")) & (commas + len(", A") <= _sizes(names)))
    at, comma = starts[found], starts[found] + commas[found]
    letters = np.stack([text[at], text[at + 1], text[at + 2], text[comma + 2]], axis=1)
    plain = np.zeros(len(names), np.bool_)
    plain[found] = _every(_letters(letters)) & (text[comma + 1] == ord(" "))
    numbers = np.zeros(len(names), np.int32)
    numbers[found] = np.where(plain[found], letters.view(np.int32)[:, 0], 0)
    return numbers, plain


def _sizes(texts: pa.Array) -> Ints:
    sizes: Ints = pc.fill_null(pc.binary_length(texts), 0).to_numpy()
    return sizes


def letters_of_keys(keys: pa.Array) -> Ints:
    """Return the first four characters of keys as a number, 0 for none."""
    return _fours(keys, lambda some: pc.utf8_slice_codeunits(some, 0, 4))


def _fours(texts: pa.Array, four: Callable[[pa.Array], pa.Array]) -> Ints:
    """Return four letters of each text as one number, some at a time; 0 where there are not four of a byte each."""
    numbers = np.zeros(len(texts), np.int32)
    for part in slices(len(texts)):
        found = four(texts.slice(part.start, part.stop - part.start)).cast(pa.binary())
        whole = pc.fill_null(pc.equal(pc.binary_length(found), 4), fill_value=False)
        filled = pc.if_else(whole, found, pa.scalar(bytes(4))).cast(pa.binary(4))
        numbers[part] = np.frombuffer(filled.buffers()[1], np.int32)[: len(filled)]
    return numbers


def nam_letters(names: pa.Array) -> pa.Array:
    """Return the four letters that each `LAST, FIRST` gives a NAM, null where it is not written so.

    Accents, blanks and hyphens do not count; a short surname is filled up with X.
    """
    bare = pc.replace_substring_regex(pc.utf8_normalize(pc.utf8_upper(names), "NFD"), "[^A-Z,]", "")
    parts = pc.extract_regex(bare, "^(?P<last>[A-Z]+),(?P<first>[A-Z])")
    last = pc.utf8_rpad(pc.utf8_slice_codeunits(pc.struct_field(parts, "last"), 0, 3), 3, "X")
    return pc.binary_join_element_wise(last, pc.struct_field(parts, "first"), "")


def _every(answers: Mask) -> Mask:
    every: Mask = np.logical_and.reduce(answers, axis=1)
    return every


def _letters(characters: Bytes) -> Mask:
    return (characters >= ord("A")) & (characters <= ord("Z"))


def _digits(characters: Bytes) -> Mask:
    return (characters >= ord("0")) & (characters <= ord("9"))


def _first_of(months: Ints) -> Ints:
    """Return the first day of each month counted from 1970-01."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
