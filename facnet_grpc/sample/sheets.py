"""Day sheets: what one doctor bills on one day, as counts; and which days are billed wrongly.

A clinic has 8 doctors and works 240 days; sheet after sheet, day after day, then the next clinic comes. So a file of
any length has doctors, patients and days in believable proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import numpy as np

from facnet_grpc.sample.acts import Draw, Ints, Mask

DOCTORS_PER_CLINIC = 8
DAYS = 240
SLOTS = 22  # registered visits that a day has room for
PANEL = 1500  # registered patients of a doctor: seen every 68 days
_WALK_IN_CLASSES = (2, 3)
NO_FEE, SMALL, LARGE, BOTH = range(4)

# Lines of a sheet, in this order.
REGISTERED, WALK_IN_VISIT, INTERVENTION, SUPPLEMENT, FEE = range(5)


@dataclass(frozen=True, slots=True)
class Sheets:
    """One value a sheet."""

    number: Ints  # from 0, over the whole file
    doctor: Ints  # over the whole file
    day: Ints  # of the year's working days
    elsewhere: Mask  # the doctor works in an establishment
    fee: Ints  # NO_FEE, SMALL, LARGE, BOTH
    fee_walk_in: Mask  # the fee is asked for on the walk-in side
    fee_elsewhere: Mask  # the fee is asked for at an establishment, which is wrong
    counts: Ints  # lines, shape (5, sheets)

    def lines(self) -> Ints:
        """Return the number of lines of every sheet."""
        total: Ints = self.counts.sum(axis=0)
        return total


def plan(draw: Draw, number: Ints) -> Sheets:
    """Plan the sheets of these numbers."""
    clinic, within = np.divmod(number, DOCTORS_PER_CLINIC * DAYS)
    day, seat = np.divmod(within, DOCTORS_PER_CLINIC)
    doctor = clinic * DOCTORS_PER_CLINIC + seat
    elsewhere = draw.chance(0.08, "elsewhere", number)
    kind = draw.below(100, "kind", number)
    registered = _between(draw, "registered", number, kind, ((14, 20), (7, 10), (0, 3), (1, 4)))
    walk_in = _between(draw, "walk-in", number, kind, ((0, 2), (0, 4), (21, 26), (11, 15)))
    fee = np.where(_class(kind) % 2 == 0, LARGE, SMALL)
    fee, registered, wrong_place = _mistakes(draw, number, fee, registered)
    fee = np.where(elsewhere, NO_FEE, fee)
    interventions = draw.chance(0.35, "intervention", number) + 4 * draw.chance(0.007, "daily limit", number)
    counts = np.stack(
        [
            registered,
            walk_in,
            2 * interventions,
            _supplements(draw, doctor, day, registered),
            np.array([0, 1, 1, 2])[fee],
        ],
    )
    return Sheets(number, doctor, day, elsewhere, fee, np.isin(_class(kind), _WALK_IN_CLASSES), wrong_place, counts)


def slot_patient(doctor: Ints, day: Ints, slot: Ints) -> tuple[Ints, Ints]:
    """Return the registered patient of a slot of a doctor's day, and how often that panel has been round before."""
    lap, patient = np.divmod(day * SLOTS + slot, PANEL)
    return doctor * PANEL + patient, lap


def supplement_due(draw: Draw, patient: Ints, lap: Ints) -> Mask:
    """Tell whether the yearly supplement is billed at this visit: once a year for every patient."""
    due: Mask = lap == draw.below(3, "supplement lap", patient)
    return due


@cache
def working_days() -> list[date]:
    """Return the days that sheets are for: Mondays to Fridays of 2025, from the sixth of January."""
    monday = date(2025, 1, 6)
    return [monday + timedelta(days=7 * (day // 5) + day % 5) for day in range(DAYS)]


def _class(kind: Ints) -> Ints:
    """Return 0-3: many registered patients, some, many walk-ins, some."""
    return np.searchsorted([62, 80, 92], kind, side="right")


def _between(draw: Draw, what: str, number: Ints, kind: Ints, ranges: tuple[tuple[int, int], ...]) -> Ints:
    low, high = np.array(ranges)[_class(kind)].T
    counts: Ints = low + draw.below(1 << 20, what, number) % (high - low + 1)
    return counts


def _mistakes(draw: Draw, number: Ints, fee: Ints, registered: Ints) -> tuple[Ints, Ints, Mask]:
    """Make some fees wrong: missed, over the ceiling, at a wrong place, or the day too short for it."""
    missed, ceiling, place, short = range(4)
    mistake = np.searchsorted([20, 35, 45, 75], draw.below(1000, "mistake", number), side="right")
    fee = np.where(mistake == missed, NO_FEE, fee)
    fee = np.where(mistake == ceiling, BOTH, fee)
    return fee, np.where(mistake == short, registered // 2, registered), mistake == place


def _supplements(draw: Draw, doctor: Ints, day: Ints, registered: Ints) -> Ints:
    """Count the supplements of a sheet: only its first two registered visits may bring one, in that order."""
    first = supplement_due(draw, *slot_patient(doctor, day, np.zeros_like(day))) & (registered > 0)
    second = supplement_due(draw, *slot_patient(doctor, day, np.ones_like(day))) & (registered > 1)
    return first.astype(np.int64) + (first & second)
