"""One timed service after the other on a doctor's day: `min_gap`, `no_overlap`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facnet_grpc.rules.checks.grouping import Sessions, combine, part_of, running_end
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work
from facnet_grpc.rules.checks.primitives.durations import GAP, LED_BY, QUARTER, TIMES, all_periods, timed_sessions
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups
from facnet_grpc.rules.table.text_ids import number


@dataclass(frozen=True, slots=True)
class _Day:
    """Sessions of a doctor's day in order of start, each of one patient."""

    sessions: Sessions
    order: Ints
    day: Ints  # the doctor's day of each, in that order

    @classmethod
    def of(cls, work: Work) -> _Day:
        sessions = timed_sessions(work)
        first = sessions.groups.first
        claims = work.sheet.claims
        day, _ = number(combine([work.sheet.index("doctor_key")[first], claims.day[first]]))
        order = np.lexsort([claims.record[first], sessions.start, day])
        return cls(sessions, order, day[order])

    def hits(self, work: Work, later: Ints, earlier: Ints, milder: Mask | None) -> Hits:
        """Return hits of a later session and the earlier one that it runs into."""
        groups = self.sessions.groups
        sizes = np.stack([groups.sizes[later], groups.sizes[earlier]], axis=1)
        rows = [
            groups.rows[groups.starts[one] : groups.starts[one + 1]]
            for pair in zip(later, earlier, strict=True)
            for one in pair
        ]
        joined = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        affected = Groups(joined, np.concatenate([[0], np.cumsum(sizes.sum(axis=1))]))
        is_later = np.repeat(np.tile([True, False], len(later)), sizes.ravel())
        facts = {
            "start": _clock(work, groups.first[later]),
            "other_code": work.sheet.text("code", groups.first[earlier]),
        }
        return Hits(affected, len(groups), risk=part_of(affected, is_later), facts=facts, milder=milder)


def _clock(work: Work, rows: Ints) -> list[str]:
    return [f"{second // 3600:02}:{second // 60 % 60:02}" for second in work.sheet.claims.start[rows].tolist()]


def min_gap(work: Work) -> Hits:
    """Find sessions that begin before the one before them, of another patient, has run its billed periods."""
    sheet = work.sheet
    day = _Day.of(work)
    groups = day.sessions.groups
    extra = sheet.where("code", work.params["extra"].__contains__)
    billed = groups.total(np.where(extra, all_periods(sheet), 0))
    due = day.sessions.start + (work.params["first"] + QUARTER * billed) * 60
    before, after = day.order[:-1], day.order[1:]
    patient = sheet.index("patient_key")[groups.first]
    early = (day.day[1:] == day.day[:-1]) & (billed[before] > 0) & (patient[before] != patient[after])
    early &= day.sessions.start[after] < due[before]
    return day.hits(work, after[early], before[early], None)


def no_overlap(work: Work) -> Hits:
    """Find sessions that begin before an earlier one of the doctor's day has ended; milder for the same patient."""
    sheet = work.sheet
    day = _Day.of(work)
    if not len(day.order):
        return Hits.none()
    start, end = day.sessions.start[day.order], day.sessions.end[day.order]
    reach = running_end(day.day, end)
    holder = _last_true(np.concatenate([[True], (day.day[1:] != day.day[:-1]) | (end[1:] > reach[:-1])]))
    later = np.flatnonzero((day.day[1:] == day.day[:-1]) & (start[1:] < reach[:-1])) + 1
    earlier = holder[later - 1]
    first = day.sessions.groups.first[day.order]
    group_act = sheet.where("code", work.params["collective"].__contains__)[first]
    same_act = (start[later] == start[earlier]) & (end[later] == end[earlier])
    apart = ~(group_act[later] & group_act[earlier] & same_act)
    later, earlier = later[apart], earlier[apart]
    patient = sheet.index("patient_key")[first]
    return day.hits(work, day.order[later], day.order[earlier], patient[later] == patient[earlier])


def _last_true(marks: Mask) -> Ints:
    """Return, for each position, the latest one at or before it that is marked."""
    return np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))


PRIMITIVES = (
    Primitive(
        name="min_gap",
        run=min_gap,
        doc="The next patient no sooner than `first` minutes and the billed quarter-hours (`extra`) after a start.",
        fields={
            "first": Field("int", default=30),
            "extra": Field("codes", required=True),
            "led_by": LED_BY,
            "gap_minutes": GAP,
        },
        needs=lambda _: TIMES,
        reads=lambda _: ("context", "units"),
        facts=("start", "other_code"),
        groups=("doctor", "patient", "day"),
    ),
    Primitive(
        name="no_overlap",
        run=no_overlap,
        doc="Timed sessions of a doctor do not overlap; `collective` acts with the same times are one.",
        fields={"collective": Field("codes", default=frozenset()), "gap_minutes": Field("int", default=0)},
        needs=lambda _: TIMES,
        reads=lambda _: ("context",),
        facts=("start", "other_code"),
        groups=("doctor", "patient", "day"),
    ),
)
