"""Who was seen in a cabinet on each day of each doctor: what the office fees depend on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.vocabulary import Claims, Ints, Mask

REGISTERED, WALK_IN = 0, 1
SIDES = ("registered", "walk_in")

FEE_CODES = ("19928", "19929")
_TAB_WITHOUT_MEETINGS = "A"


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
    row = np.zeros(days, np.int64)
    row[day] = np.arange(len(claims))
    visits = np.flatnonzero(_visits(claims, reference))
    key = day[visits] * claims.size_of("patient_key") + claims.patient[visits]
    order = np.argsort(key)
    key, visits = key[order], visits[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    # Start, record and side in one number: the smallest of a patient's day carries the side of their first visit.
    walk_in = is_walk_in(claims) | claims.has_code("walk_in_visit_codes")
    place_in_day = (claims.start_order[visits] << 32) | (claims.record[visits] << 1) | walk_in[visits]
    side = np.minimum.reduceat(place_in_day, starts) & 1
    paid = np.logical_or.reduceat(claims.paid[visits], starts)
    seen_on = day[visits[starts]]
    return OfficeDays(row, _by_side(seen_on, side, days), _by_side(seen_on[paid], side[paid], days))


def is_walk_in(claims: Claims) -> Mask:
    """Lines with a context that marks a walk-in."""
    return claims.has_context("walk_in_contexts")


def _visits(claims: Claims, reference: ReferenceSnapshot) -> Mask:
    no_visit = claims.has_code("not_a_meeting_codes")
    no_visit |= claims.in_codes(reference.codes_of_tab(_TAB_WITHOUT_MEETINGS).union(FEE_CODES))
    return claims.billed & claims.has_patient & ~claims.in_establishment & ~no_visit


def _by_side(day: Ints, side: Ints, days: int) -> Ints:
    return np.stack([np.bincount(day[side == which], minlength=days) for which in (REGISTERED, WALK_IN)])
