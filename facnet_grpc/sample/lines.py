"""Sample lines as numbers: every quantity of a claim line as an array, computed from its sheet and its place there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facnet_grpc.sample import acts, sheets
from facnet_grpc.sample.acts import Draw, Ints, Mask
from facnet_grpc.sample.sheets import Sheets

NO_TIME = 1440
NO_PATIENT = -1
NOT_SAID = -1  # no act is paid, or taken back, at one cent
_OPENING = 8 * 60
_VULNERABLE_PER_MILLE = 300
_WALK_INS = 1 << 40  # patient numbers from here on belong to walk-ins and interventions
CONTEXTS = ("", "#G160", "#AR", "#G160, #AR", "GAP", "#MTA13")


@dataclass(frozen=True, slots=True)
class Lines:
    """One value a line. Amounts in cents, times in minutes of the day or `NO_TIME`."""

    number: Ints  # from 0, over the whole file
    doctor: Ints
    day: Ints
    act: Ints  # row of `acts`
    place: Ints  # 0-3 a cabinet, 4-5 an establishment, 6 empty
    context: Ints  # index of `CONTEXTS`
    units: Ints
    start: Ints
    end: Ints
    patient: Ints  # or NO_PATIENT
    old: Mask  # the patient is 80 or more
    preliminary: Ints
    paid: Ints  # or NOT_SAID


def expand(draw: Draw, planned: Sheets, first_line: int) -> Lines:
    """Write out the lines of planned sheets; the first one gets the number `first_line`."""
    return _Expansion(draw, planned, first_line).lines()


class _Expansion:
    """The steps from sheets to lines; they share the arrays that say where a line is."""

    def __init__(self, draw: Draw, planned: Sheets, first_line: int) -> None:
        self.draw = draw
        self.planned = planned
        lengths = planned.lines()
        self.sheet = np.repeat(np.arange(len(lengths)), lengths)
        self.starts = (np.cumsum(lengths) - lengths)[self.sheet]
        self.index = np.arange(len(self.sheet))
        self.number = first_line + self.index
        position = self.index - self.starts
        bounds = np.cumsum(planned.counts, axis=0)[:, self.sheet]
        self.kind = (position >= bounds).sum(axis=0)
        self.place_in_kind = (
            position
            - np.take_along_axis(
                np.vstack([np.zeros_like(position), bounds]),
                self.kind[None, :],
                axis=0,
            )[0]
        )
        self.doctor = planned.doctor[self.sheet]
        self.day = planned.day[self.sheet]
        self.elsewhere = planned.elsewhere[self.sheet]

    def lines(self) -> Lines:
        patient, lap, revisit = self._patients()
        trait = self.draw.below(1000, "trait", patient)
        old = trait % 8 == 0
        act = self._acts(patient, lap, revisit, vulnerable=trait < _VULNERABLE_PER_MILLE, old=old)
        start, end = self._times()
        units = np.ones_like(act)
        preliminary = acts.TARIFFS[self.elsewhere.astype(np.int64), act]
        preliminary = np.where(self._chance(0.004, "reversal"), -preliminary, preliminary)
        return Lines(
            number=self.number,
            doctor=self.doctor,
            day=self.day,
            act=act,
            place=self._places(),
            context=self._contexts(),
            units=units,
            start=start,
            end=end,
            patient=np.where(self.kind == sheets.FEE, NO_PATIENT, patient),
            old=old,
            preliminary=preliminary,
            paid=self._paid(preliminary),
        )

    def _chance(self, share: float, what: str) -> Mask:
        return self.draw.chance(share, what, self.number)

    def _patients(self) -> tuple[Ints, Ints, Mask]:
        """Return patients, how often the panel has been round, and which visits come a few days after another one."""
        registered = self.kind == sheets.REGISTERED
        own = registered | (self.kind == sheets.SUPPLEMENT)
        back = self.draw.below(4, "revisit", self.number) + 1
        revisit = registered & self._chance(0.04, "revisited") & (self.day >= back)
        day = self.day - np.where(revisit, back, 0)
        slot = np.where(own, self.place_in_kind, 0)
        patient, lap = sheets.slot_patient(self.doctor, day, slot)
        passing = _WALK_INS + self.planned.number[self.sheet] * 64 + self.kind * 32 + self.place_in_kind
        passing -= np.where(self.kind == sheets.INTERVENTION, self.place_in_kind - self.place_in_kind // 2, 0)
        return np.where(own, patient, passing), lap, revisit

    def _acts(self, patient: Ints, lap: Ints, revisit: Mask, *, vulnerable: Mask, old: Mask) -> Ints:
        tier = self.draw.below(2, "tier", self.doctor)
        offset = tier + 2 * old
        annual_lap = self.draw.below(3, "annual lap", patient)
        annual = (lap == annual_lap) & (vulnerable | self.draw.chance(0.1, "take charge", patient))
        # Billed again days later, by mistake: what the annual visit rule is for.
        annual &= ~revisit | self._chance(0.4, "annual again")
        visit = np.where(vulnerable, acts.FOLLOW_UP_VULNERABLE, acts.FOLLOW_UP) + offset
        visit = np.where(annual, np.where(vulnerable, acts.PERIODIC, acts.TAKE_CHARGE) + offset, visit)
        intervention = acts.INTERVENTION + self.place_in_kind % 2 + 2 * self.elsewhere
        fee = (
            np.where(self.planned.fee[self.sheet] == sheets.SMALL, acts.FEE_SMALL, acts.FEE_LARGE) - self.place_in_kind
        )
        chosen: Ints = np.choose(self.kind, [visit, acts.WALK_IN + offset, intervention, acts.SUPPLEMENT, fee])
        return chosen

    def _times(self) -> tuple[Ints, Ints]:
        """Let a sheet's lines follow one another from eight o'clock; fees and supplements have no time."""
        timed = self.kind <= sheets.INTERVENTION
        long = (self.kind == sheets.REGISTERED) & self._chance(0.012, "long visit")
        minutes = np.where(long, 26 + self.draw.below(30, "long minutes", self.number), 14)
        is_first = self.place_in_kind % 2 == 0
        minutes = np.where(self.kind == sheets.INTERVENTION, np.where(is_first, 30, 15), minutes)
        minutes = np.where(timed, minutes, 0)
        ends = np.cumsum(minutes)
        begin = ends - minutes
        start = _OPENING + begin - begin[self.starts]
        exact = long | (self.kind == sheets.INTERVENTION)
        start_known = timed & (exact | self._chance(0.9, "start known"))
        end_known = start_known & (exact | self._chance(0.4, "end known"))
        return np.where(start_known, start, NO_TIME), np.where(end_known, start + minutes, NO_TIME)

    def _places(self) -> Ints:
        cabinet = self.draw.below(4, "cabinet", self.doctor // sheets.DOCTORS_PER_CLINIC)
        establishment = 4 + self.draw.below(2, "establishment", self.doctor // sheets.DOCTORS_PER_CLINIC)
        wrong_fee = (self.kind == sheets.FEE) & self.planned.fee_elsewhere[self.sheet]
        place = np.where(self.elsewhere | wrong_fee, establishment, cabinet)
        return np.where(self._chance(0.003, "no place") & (self.kind < sheets.FEE), 6, place)

    def _contexts(self) -> Ints:
        walk_in = 1 + np.searchsorted([60, 90], self.draw.below(100, "walk-in context", self.number), side="right")
        now_and_then = np.searchsorted([8, 10], self.draw.below(100, "context", self.number), side="right")
        registered = np.choose(now_and_then, [4, 5, 0])
        fee = self.planned.fee_walk_in[self.sheet].astype(np.int64)
        nothing = np.zeros_like(walk_in)
        chosen: Ints = np.choose(self.kind, [registered, walk_in, nothing, nothing, fee])
        return chosen

    def _paid(self, preliminary: Ints) -> Ints:
        """Most lines are paid in full; a few in part, refused, or not looked at yet. Reversals are always settled."""
        outcome = np.searchsorted([8, 14, 30], self.draw.below(1000, "payment", self.number), side="right")
        outcome = np.where(preliminary < 0, 3, outcome)
        nothing = np.zeros_like(preliminary)
        chosen: Ints = np.choose(outcome, [preliminary - preliminary // 5, nothing, nothing + NOT_SAID, preliminary])
        return chosen
