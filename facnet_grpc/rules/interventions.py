"""Clinical interventions: which lines count against the daily maximum, and how many minutes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facnet_grpc.rules.table.arrays import Column, Ints, Mask
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.groups import Groups

FIRST_PERIOD = 30  # minutes, P.G. 2.2.6 B
NEXT_PERIOD = 15
_MOST_QUARTERS = 7  # 1 to 7 units are quarter-hours, 8 and more are minutes

PARAMETERS = (
    "intervention_first_codes",
    "intervention_additional_codes",
    "intervention_collective_codes",
    "intervention_exempt_contexts",
    "intervention_daily_minutes",
)


@dataclass(frozen=True, slots=True)
class Interventions:
    """One entry a line of the table."""

    counts: Mask  # lines that use up minutes of their doctor's day
    minutes: Column  # of these lines, 0 for all but the first of a meeting; anything for lines that do not count
    meetings: Groups  # lines of one collective intervention, by record number


def find_interventions(claims: Claims) -> Interventions:
    """Return the billed interventions without an exempt context, with their minutes.

    Minutes are those from start to end; without times 30 for a first period, and for additional ones what the units
    say: 1 to 7 quarter-hours, 8 and more minutes, none one quarter-hour. Lines of a collective intervention with the
    same doctor, day, code, start and end are one meeting, whose minutes count once.
    """
    first = claims.has_code("intervention_first_codes")
    additional = claims.has_code("intervention_additional_codes")
    counts = claims.billed & (first | additional) & ~is_exempt(claims)
    meetings = _meetings(claims, counts)
    repeats = np.zeros(len(claims), np.bool_)
    repeats[meetings.rows[meetings.positions > 0]] = True

    def minutes(rows: Any) -> Ints:
        return np.where(repeats[rows], 0, _minutes(claims.minutes[rows], first[rows], claims.units[rows]))

    return Interventions(counts, Column(minutes), meetings)


def _meetings(claims: Claims, counts: Mask) -> Groups:
    rows = np.flatnonzero(counts & claims.has_code("intervention_collective_codes"))
    rows = rows[(claims.start[rows] >= 0) & (claims.end[rows] >= 0)]
    keys: list[Ints | Column] = [claims.doctor, claims.day, claims.indices("code"), claims.start, claims.end]
    return Groups.of(rows, keys, [claims.record])


def _minutes(timed: Ints, first: Mask, units: Ints) -> Ints:
    by_units = np.where(units > _MOST_QUARTERS, units, np.maximum(units, 1) * NEXT_PERIOD)
    return np.where(timed >= 0, timed, np.where(first, FIRST_PERIOD, by_units))


def is_exempt(claims: Claims) -> Mask:
    """Lines with a context that takes them out of the daily maximum."""
    return claims.has_context("intervention_exempt_contexts")
