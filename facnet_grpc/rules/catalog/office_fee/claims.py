"""Office fees of a doctor's day: patients seen in a cabinet, billed fee lines, tariffs, and permitted claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.parameters import numbers
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.groups import Groups

REGISTERED, WALK_IN = 0, 1
SIDES = ("registered", "walk_in")

FEE_CODES = ("19928", "19929")
_TAB_WITHOUT_MEETINGS = "A"
_LINES_AT_ONCE = 1 << 18
LOW, HIGH = 0, 1  # 19928 and 19929, as in FEE_CODES

# The claims that a day may make, as (level, side) of the fees in them.
_PERMITTED = (
    ((LOW, REGISTERED),),
    ((LOW, WALK_IN),),
    ((LOW, REGISTERED), (LOW, WALK_IN)),
    ((HIGH, REGISTERED),),
    ((HIGH, WALK_IN),),
)


@dataclass(frozen=True, slots=True)
class OfficeDays:
    """One entry a (doctor, service date), numbered as in `Claims.doctor_day`."""

    row: Ints  # a line of that doctor and date
    billed: Ints  # patients seen, by side: shape (2, days)
    paid: Ints  # those of them with at least one paid visit

    def __len__(self) -> int:
        return len(self.row)


def count_patients(claims: Claims, reference: ReferenceSnapshot) -> OfficeDays:
    """Count the patients of each day; each counts once, on the side of their first visit by start, then record."""
    day, days = claims.doctor_day
    row = np.zeros(days, np.int32)
    row[day] = np.arange(len(claims), dtype=np.int32)
    visits = _visits(claims, reference)
    walk_in = is_walk_in(claims) | claims.has_code("walk_in_visit_codes")
    found = OfficeDays(row, np.zeros((2, days), np.int64), np.zeros((2, days), np.int64))
    # Some days at a time: all of them at once would take several times what the file does.
    for first in range(0, days, step := -(-days // (len(claims) // _LINES_AT_ONCE + 1)) or 1):
        chosen = np.flatnonzero(visits & (day >= first) & (day < first + step))
        _count(claims, chosen, walk_in[chosen], found)
    return found


def _count(claims: Claims, visits: Ints, walk_in: Mask, into: OfficeDays) -> None:
    """Count the patients of days of which `visits` are all visits."""
    key = claims.doctor_day[0][visits] * np.int64(claims.size_of("patient_key")) + claims.patient[visits]
    order = np.argsort(key)
    key, visits, walk_in = key[order], visits[order], walk_in[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    # Start, record and side in one number: the smallest of a patient's day carries the side of their first visit.
    place_in_day = (claims.start_order[visits] << 32) | (claims.record[visits].astype(np.int64) << 1) | walk_in
    side = np.minimum.reduceat(place_in_day, starts) & 1 if len(starts) else place_in_day
    paid = np.logical_or.reduceat(claims.paid[visits], starts) if len(starts) else walk_in
    seen_on = claims.doctor_day[0][visits[starts]]
    np.add.at(into.billed, (side, seen_on), 1)
    np.add.at(into.paid, (side[paid], seen_on[paid]), 1)


def is_walk_in(claims: Claims) -> Mask:
    """Lines with a context that marks a walk-in."""
    return claims.has_context("walk_in_contexts")


def _visits(claims: Claims, reference: ReferenceSnapshot) -> Mask:
    no_visit = claims.has_code("not_a_meeting_codes")
    no_visit |= claims.in_codes(reference.codes_of_tab(_TAB_WITHOUT_MEETINGS).union(FEE_CODES))
    return claims.billed & claims.has_patient & ~claims.in_establishment & ~no_visit


@dataclass(frozen=True, slots=True)
class Fees:
    """Fee lines: their rows in the table, their days as in `Claims.doctor_day`, their level and side."""

    rows: Ints
    day: Ints
    level: Ints
    side: Ints

    @classmethod
    def of(cls, claims: Claims) -> Fees:
        """Return the billed fee lines in order of record numbers."""
        rows = np.flatnonzero(claims.billed & claims.in_codes(frozenset(FEE_CODES)))
        rows = rows[np.argsort(claims.record[rows])]
        level = claims.in_codes(frozenset({FEE_CODES[HIGH]}))[rows].astype(np.int64)
        side = is_walk_in(claims)[rows].astype(np.int64)
        return cls(rows, claims.doctor_day[0][rows], level, side)

    def filter(self, keep: Mask) -> Fees:
        """Return some of these lines."""
        return Fees(self.rows[keep], self.day[keep], self.level[keep], self.side[keep])

    def at(self, lines: Ints) -> Fees:
        """Return the lines at these positions."""
        return Fees(self.rows[lines], self.day[lines], self.level[lines], self.side[lines])

    def of_kind(self, level: int, side: int) -> Fees:
        """Return the lines of one code and side."""
        return self.filter((self.level == level) & (self.side == side))

    def on_walk_in_side(self, lines: Ints) -> Fees:
        """Return all lines, those at these positions as if they had a walk-in context."""
        side = self.side.copy()
        side[lines] = WALK_IN
        return Fees(self.rows, self.day, self.level, side)

    def per_day(self, days: int) -> Ints:
        """Count lines by level, side and day."""
        kinds = np.bincount((self.level * 2 + self.side) * days + self.day, minlength=4 * days)
        return kinds.reshape(2, 2, days)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a fee needs and pays on each day."""

    need: Ints  # patients by level, side and day
    tariff: Ints  # cents by level and day

    @classmethod
    def of(cls, claims: Claims, days: OfficeDays) -> Terms:
        """Look the parameters up by service date."""
        dates = claims.day[days.row]
        need = [[numbers(f"office_fee_{code}_{side}", dates) for side in SIDES] for code in FEE_CODES]
        return cls(np.array(need), np.array([numbers(f"office_fee_{code}_cents", dates) for code in FEE_CODES]))


def exceeds(per_day: Ints) -> Mask:
    """Return the days whose fees, counted by level, side and day, are no permitted claim."""
    total = per_day.sum(axis=(0, 1))
    high = per_day[HIGH].sum(axis=0)
    exceeded: Mask = ((high > 0) & (total > 1)) | (per_day[LOW] > 1).any(axis=0)
    return exceeded


def lines_to_drop(claims: Claims, fees: Fees) -> Groups:
    """Return, for each day of `fees`, the lines that are not in its best permitted claim, by record number."""
    days = Groups.of(np.arange(len(fees.rows)), [fees.day], [claims.record[fees.rows]])
    kinds = list(zip(fees.level.tolist(), fees.side.tolist(), strict=True))
    cents, records = claims.cents[fees.rows].tolist(), claims.record[fees.rows].tolist()
    dropped: list[list[int]] = []
    # Only days that exceed what is permitted come here, and each has a handful of lines.
    for first, end in zip(days.starts[:-1].tolist(), days.starts[1:].tolist(), strict=True):
        lines = days.rows[first:end].tolist()
        kept = _best_claim([(kinds[line], cents[line], records[line], line) for line in lines])
        dropped.append([line for line in lines if line not in kept])
    starts = np.concatenate([[0], np.cumsum([len(lines) for lines in dropped], dtype=np.int64)])
    return Groups(fees.rows[np.fromiter(chain.from_iterable(dropped), np.int64)], starts)


def _best_claim(lines: Sequence[tuple[tuple[int, int], int, int, int]]) -> set[int]:
    """Return the lines (kind, cents, record, line) of the dearest permitted claim; the earliest between equals."""
    dearest = {
        kind: max((line for line in lines if line[0] == kind), key=_worth) for kind in {line[0] for line in lines}
    }
    claims = [[dearest[kind] for kind in kinds] for kinds in _PERMITTED if all(kind in dearest for kind in kinds)]
    best = max(claims, key=lambda claim: (sum(line[1] for line in claim), -min(line[2] for line in claim)))
    return {line[3] for line in best}


def _worth(line: tuple[tuple[int, int], int, int, int]) -> tuple[int, int]:
    return line[1], -line[2]
