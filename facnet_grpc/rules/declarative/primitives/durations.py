"""How long something takes: `duration_range`, `min_gap`, `no_overlap`.

A line's units are quarter-hours up to 7 and minutes from 8 on, and one quarter-hour if there are none (the reading of
the rule `clinical_intervention`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facnet_grpc.rules.declarative.grouping import (
    OTHER_SESSION,
    Keyed,
    Sessions,
    chronological,
    number,
    part_of,
    running_end,
    surplus_first,
)
from facnet_grpc.rules.declarative.primitives.base import Field, Hits, Params, Primitive, Work
from facnet_grpc.rules.declarative.sheet import Sheet
from facnet_grpc.rules.groups import Groups
from facnet_grpc.rules.vocabulary import Ints, Mask

_QUARTER = 15
_MINUTES_FROM = 8  # units of 8 and more are minutes


def duration_range(work: Work) -> Hits:
    """Find sessions, lines or groups that last too long or not long enough; see `of` and `look_for`."""
    return _KINDS[work.params["of"]](work)


def _of_sessions(work: Work) -> Hits:
    sessions = _sessions(work)
    minutes = sessions.minutes
    wrong = _outside(minutes, work.params)
    groups = sessions.groups.having(wrong)
    return Hits(groups, len(minutes), risk=groups, facts={"minutes": minutes[wrong], **_bounds(work.params)})


def _of_lines(work: Work) -> Hits:
    minutes = work.sheet.claims.minutes[work.rows]
    rows, minutes = work.rows[minutes >= 0], minutes[minutes >= 0]
    wrong = _outside(minutes, work.params)
    return Hits.lines(rows[wrong], len(rows), facts={"minutes": minutes[wrong], **_bounds(work.params)})


def _of_units(work: Work) -> Hits:
    """Judge minutes by units, as a whole number of quarter-hours of no more than `max`."""
    units = work.sheet.claims.units[work.rows]
    rows, units = work.rows[units > 0], units[units > 0]
    minutes = np.where(units < _MINUTES_FROM, units * _QUARTER, units)
    wrong = _outside(minutes, work.params) | (minutes % _QUARTER != 0)
    return Hits.lines(rows[wrong], len(rows), facts={"minutes": minutes[wrong], **_bounds(work.params)})


def _of_groups(work: Work) -> Hits:
    """Judge the periods of a group together: no more than `max` quarter-hours."""
    keyed = Keyed.of(work.sheet, work.rows, work.group)
    periods = np.zeros(keyed.count, np.int64)
    np.add.at(periods, keyed.ids, _periods(work.sheet, keyed.rows))
    hits = keyed.only(periods > work.params["max"])
    groups = chronological(work.sheet, hits.rows, hits.ids)
    own = _periods(work.sheet, groups.rows)
    so_far = np.cumsum(own)
    so_far -= (so_far - own)[groups.starts[:-1]][groups.owner]
    beyond = so_far > work.params["max"]
    return Hits(
        affected=surplus_first(groups, beyond),
        seen=keyed.count,
        risk=part_of(groups, beyond),
        facts={"count": periods[periods > work.params["max"]], **_bounds(work.params)},
    )


def _of_periods(work: Work) -> Hits:
    """Compare the additional periods that are billed for a session with what its minutes give."""
    sheet, params = work.sheet, work.params
    sessions = _sessions(work)
    groups, minutes = sessions.groups, sessions.minutes
    extra = sheet.where("code", params["extra"].__contains__)
    billed = groups.total(np.where(extra, _all_periods(sheet), 0))
    expected = expected_periods(minutes, params["first"])
    too_many = params["look_for"] == "too_many"
    wrong = (billed > expected) if too_many else (billed < expected) & (groups.total(~extra) > 0)
    found = groups.having(wrong)
    facts = {"minutes": minutes[wrong], "billed": billed[wrong], "expected": expected[wrong]}
    if not too_many:
        return _missing_periods(work, found, (expected - billed)[wrong], len(groups), facts)
    lines = found.only(extra)
    share = (billed - expected)[wrong][lines.owner]
    lost = sheet.claims.cents[lines.rows] * share // billed[wrong][lines.owner]
    order = surplus_first(found, extra[found.rows])
    return Hits(order, len(groups), risk=lines, risk_cents=lost, facts=facts)


def _missing_periods(work: Work, found: Groups, missing: Ints, seen: int, facts: dict[str, Ints]) -> Hits:
    """Return the gain of periods that were not billed, at the reference's tariff; none where it has no tariff."""
    sheet = work.sheet
    follow = work.params["extra_of"]
    tables = [
        np.array([_tariff(work, follow.get(text), place) for text in sheet.texts("code")], np.int64)
        for place in ("cabinet", "etablissement")
    ]
    codes = sheet.index("code")[found.first]
    tariff = np.where(sheet.claims.in_cabinet[found.first], tables[0][codes], tables[1][codes])
    known = (tariff > 0) & sheet.known("place")[found.first]
    return Hits(
        affected=found.having(known),
        seen=seen,
        gain_cents=(missing * tariff)[known],
        facts={name: values[known] for name, values in facts.items()},
    )


def _tariff(work: Work, code: str | None, place: str) -> int:
    entries = work.reference.codes.get(code or "", ())
    amounts = [entry.tariff_cents for entry in entries if entry.place in (place, "all") and entry.tariff_cents]
    return amounts[0] if amounts else 0


def expected_periods(minutes: Ints, first: int) -> Ints:
    """Return the quarter-hours beyond the first period: a last one counts from 8 minutes on."""
    rest = np.maximum(minutes - first, 0)
    return rest // _QUARTER + (rest % _QUARTER >= _MINUTES_FROM)


def _of_observation(work: Work) -> Hits:
    """Find lines that bill more quarter-hours than their time gives after the first period, which is never paid."""
    minutes = work.sheet.claims.minutes[work.rows]
    rows, minutes = work.rows[minutes >= 0], minutes[minutes >= 0]
    expected = np.maximum(minutes - work.params["first"], 0) // _QUARTER
    billed = _periods(work.sheet, rows)
    wrong = billed > expected
    lost = work.sheet.claims.cents[rows] * (billed - expected) // billed
    return Hits.lines(
        rows[wrong],
        len(rows),
        risk_cents=lost[wrong],
        facts={"minutes": minutes[wrong], "billed": billed[wrong], "expected": expected[wrong]},
    )


_KINDS = {
    "sessions": _of_sessions,
    "lines": _of_lines,
    "units": _of_units,
    "groups": _of_groups,
    "periods": _of_periods,
    "observation": _of_observation,
}


def _outside(minutes: Ints, params: Params) -> Mask:
    wrong: Mask = minutes < params["min"]
    return wrong if params["max"] is None else np.logical_or(wrong, minutes > params["max"])


def _bounds(params: Params) -> dict[str, int]:
    return {name: params[name] for name in ("min", "max") if params[name] is not None}


def _sessions(work: Work) -> Sessions:
    """Return the sessions of lines with start and end; a group with a line without them has none."""
    sheet, claims = work.sheet, work.sheet.claims
    keyed = Keyed.of(sheet, work.rows, work.group)
    other = sheet.where("context", lambda text: OTHER_SESSION in text.split(","))[keyed.rows]
    ids, count = number(keyed.ids * 2 + other)
    untimed = (claims.start[keyed.rows] < 0) | (claims.end[keyed.rows] < 0)
    whole = np.bincount(ids[untimed], minlength=count) == 0
    kept = whole[ids]
    return Sessions.of(sheet, keyed.rows[kept], ids[kept], work.params["gap_minutes"])


def _periods(sheet: Sheet, rows: Ints) -> Ints:
    units = np.maximum(sheet.claims.units[rows], 1)
    return np.where(units < _MINUTES_FROM, units, -(-units // _QUARTER))


def _all_periods(sheet: Sheet) -> Ints:
    return _periods(sheet, np.arange(len(sheet.claims)))


@dataclass(frozen=True, slots=True)
class _Day:
    """Sessions of a doctor's day in order of start, each of one patient."""

    sessions: Sessions
    order: Ints
    day: Ints  # the doctor's day of each, in that order

    @classmethod
    def of(cls, work: Work) -> _Day:
        sessions = _sessions(work)
        first = sessions.groups.first
        claims = work.sheet.claims
        day, _ = number(work.sheet.index("doctor_key")[first] * (1 << 32) + claims.day[first])
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
    billed = groups.total(np.where(extra, _all_periods(sheet), 0))
    due = day.sessions.start + (work.params["first"] + _QUARTER * billed) * 60
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


_TIMES = ("start_time", "end_time")
_GAP = Field("int", default=_QUARTER)


def _needs(params: Params) -> tuple[str, ...]:
    return ("units",) if params["of"] in ("units", "groups") else _TIMES


PRIMITIVES = (
    Primitive(
        name="duration_range",
        run=duration_range,
        doc="Minutes (of sessions, lines, units) from `min` to `max`; or the additional periods that they give.",
        fields={
            "of": Field("choice", required=True, choices=tuple(_KINDS)),
            "min": Field("int", default=0),
            "max": Field("int"),
            "first": Field("int", default=30),
            "extra": Field("codes", default=frozenset()),
            "extra_of": Field("code_by_code", default={}),
            "look_for": Field("choice", default="too_many", choices=("too_many", "too_few")),
            "gap_minutes": _GAP,
        },
        needs=_needs,
        facts=("minutes", "min", "max", "billed", "expected", "count"),
    ),
    Primitive(
        name="min_gap",
        run=min_gap,
        doc="The next patient no sooner than `first` minutes and the billed quarter-hours (`extra`) after a start.",
        fields={"first": Field("int", default=30), "extra": Field("codes", required=True), "gap_minutes": _GAP},
        needs=lambda _: _TIMES,
        facts=("start", "other_code"),
        groups=("doctor", "patient", "day"),
    ),
    Primitive(
        name="no_overlap",
        run=no_overlap,
        doc="Timed sessions of a doctor do not overlap; `collective` acts with the same times are one.",
        fields={"collective": Field("codes", default=frozenset()), "gap_minutes": Field("int", default=0)},
        needs=lambda _: _TIMES,
        facts=("start", "other_code"),
        groups=("doctor", "patient", "day"),
    ),
)
