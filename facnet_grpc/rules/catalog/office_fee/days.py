"""Who was seen in a cabinet on each day of each doctor: what the office fees depend on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.claims import Claims

REGISTERED, WALK_IN = 0, 1
SIDES = ("registered", "walk_in")

FEE_CODES = ("19928", "19929")
_TAB_WITHOUT_MEETINGS = "A"
_LINES_AT_ONCE = 1 << 18


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
