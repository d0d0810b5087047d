"""How long services take, and one after the other on a doctor's day: `duration_range`, `min_gap`, `no_overlap`.

A line's units are quarter-hours up to 7 and minutes from 8 on, and one quarter-hour if there are none (the reading of
the rule `clinical_intervention`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import (
    OTHER_SESSION,
    GroupedRows,
    Sessions,
    chronological,
    combine,
    running_end,
)
from facnet_grpc.rules.checks.primitives.base import CheckTest, Code, Codes, Evaluate, Evaluation, Group, Matches, Whole
from facnet_grpc.rules.table.arrays import Ints, Mask, number
from facnet_grpc.rules.table.groups import Groups

QUARTER = 15
_MINUTES_FROM = 8  # units of 8 and more are minutes
_TIMES = ("start_time", "end_time")


def duration_range(evaluation: Evaluation[DurationRange]) -> Matches:
    """Find sessions, lines or groups that last too long or not long enough; see `of` and `look_for`."""
    return _KINDS[evaluation.test.of](evaluation)


def _of_sessions(evaluation: Evaluation[DurationRange]) -> Matches:
    sessions = timed_sessions(evaluation, evaluation.test.gap_minutes, evaluation.test.led_by)
    minutes = sessions.minutes
    wrong = _outside(minutes, evaluation.test)
    groups = sessions.groups.filter(wrong)
    return Matches(groups, len(minutes), risk=groups, facts={"minutes": minutes[wrong], **_bounds(evaluation.test)})


def _of_lines(evaluation: Evaluation[DurationRange]) -> Matches:
    minutes = evaluation.table.claims.minutes[evaluation.rows]
    rows, minutes = evaluation.rows[minutes >= 0], minutes[minutes >= 0]
    wrong = _outside(minutes, evaluation.test)
    return Matches.of_lines(rows[wrong], len(rows), facts={"minutes": minutes[wrong], **_bounds(evaluation.test)})


def _of_units(evaluation: Evaluation[DurationRange]) -> Matches:
    """Judge minutes by units, as a whole number of quarter-hours of no more than `max`."""
    units = evaluation.table.claims.units[evaluation.rows]
    rows, units = evaluation.rows[units > 0], units[units > 0]
    minutes = np.where(units < _MINUTES_FROM, units * QUARTER, units)
    wrong = _outside(minutes, evaluation.test) | (minutes % QUARTER != 0)
    return Matches.of_lines(rows[wrong], len(rows), facts={"minutes": minutes[wrong], **_bounds(evaluation.test)})


def _of_groups(evaluation: Evaluation[DurationRange]) -> Matches:
    """Judge the periods of a group together: no more than `max` quarter-hours."""
    most = evaluation.test.max or 0
    grouped = GroupedRows.of(evaluation.table, evaluation.rows, evaluation.test.group)
    periods = np.zeros(grouped.count, np.int64)
    np.add.at(periods, grouped.ids, _periods(evaluation.table, grouped.rows))
    matching = grouped.filter(periods > most)
    groups = chronological(evaluation.table, matching.rows, matching.ids)
    own = _periods(evaluation.table, groups.rows)
    so_far = np.cumsum(own)
    so_far -= (so_far - own)[groups.starts[:-1]][groups.owner]
    beyond = so_far > most
    return Matches(
        affected=groups.with_first(beyond),
        examined=grouped.count,
        risk=groups.filter_rows(beyond),
        facts={"count": periods[periods > most], **_bounds(evaluation.test)},
    )


def _of_periods(evaluation: Evaluation[DurationRange]) -> Matches:
    """Compare the additional periods that are billed for a session with what its minutes give."""
    table, test = evaluation.table, evaluation.test
    sessions = timed_sessions(evaluation, evaluation.test.gap_minutes, evaluation.test.led_by)
    groups, minutes = sessions.groups, sessions.minutes
    extra = table.where("code", test.extra.__contains__)
    billed = groups.total(np.where(extra, all_periods(table), 0))
    expected = expected_periods(minutes, test.first)
    too_many = test.look_for == "too_many"
    wrong = (billed > expected) if too_many else (billed < expected) & (groups.total(~extra) > 0)
    found = groups.filter(wrong)
    facts = {"minutes": minutes[wrong], "billed": billed[wrong], "expected": expected[wrong]}
    if not too_many:
        return _missing_periods(evaluation, found, (expected - billed)[wrong], len(groups), facts)
    lines = found.filter_rows(extra[found.rows])
    share = (billed - expected)[wrong][lines.owner]
    lost = table.claims.cents[lines.rows] * share // billed[wrong][lines.owner]
    order = found.with_first(extra[found.rows])
    return Matches(order, len(groups), risk=lines, risk_cents=lost, facts=facts)


def _missing_periods(
    evaluation: Evaluation[DurationRange], found: Groups, missing: Ints, examined: int, facts: dict[str, Ints]
) -> Matches:
    """Return the gain of periods that were not billed, at the reference's tariff; none where it has no tariff."""
    table = evaluation.table
    follow = evaluation.test.extra_of
    tables = [
        np.array([_tariff(evaluation, follow.get(text), place) for text in table.texts("code")], np.int64)
        for place in ("cabinet", "etablissement")
    ]
    codes = table.index("code")[found.first]
    tariff = np.where(table.claims.in_cabinet[found.first], tables[0][codes], tables[1][codes])
    known = (tariff > 0) & table.known("place")[found.first]
    return Matches(
        affected=found.filter(known),
        examined=examined,
        gain_cents=(missing * tariff)[known],
        facts={name: values[known] for name, values in facts.items()},
    )


def _tariff(evaluation: Evaluation[DurationRange], code: str | None, place: str) -> int:
    entries = evaluation.reference.codes.get(code or "", ())
    amounts = [entry.tariff_cents for entry in entries if entry.place in (place, "all") and entry.tariff_cents]
    return amounts[0] if amounts else 0


def expected_periods(minutes: Ints, first: int) -> Ints:
    """Return the quarter-hours beyond the first period: a last one counts from 8 minutes on."""
    rest = np.maximum(minutes - first, 0)
    return rest // QUARTER + (rest % QUARTER >= _MINUTES_FROM)


def _of_observation(evaluation: Evaluation[DurationRange]) -> Matches:
    """Find lines that bill more quarter-hours than their time gives after the first period, which is never paid."""
    minutes = evaluation.table.claims.minutes[evaluation.rows]
    rows, minutes = evaluation.rows[minutes >= 0], minutes[minutes >= 0]
    expected = np.maximum(minutes - evaluation.test.first, 0) // QUARTER
    billed = _periods(evaluation.table, rows)
    wrong = billed > expected
    lost = evaluation.table.claims.cents[rows] * (billed - expected) // billed
    return Matches.of_lines(
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


def _outside(minutes: Ints, test: DurationRange) -> Mask:
    wrong: Mask = minutes < test.min
    return wrong if test.max is None else np.logical_or(wrong, minutes > test.max)


def _bounds(test: DurationRange) -> dict[str, int]:
    return {"min": test.min} if test.max is None else {"min": test.min, "max": test.max}


def timed_sessions(
    evaluation: Evaluation[CheckTest], gap_minutes: int, led_by: frozenset[str] = frozenset()
) -> Sessions:
    """Return the sessions of lines with start and end; a group with a line without them has none.

    With `led_by`, only sessions that have a line with one of these codes.
    """
    table, claims = evaluation.table, evaluation.table.claims
    grouped = GroupedRows.of(table, evaluation.rows, evaluation.test.group)
    other = table.where("context", lambda text: OTHER_SESSION in text.split(","))[grouped.rows]
    ids, count = number(grouped.ids * np.int64(2) + other)
    untimed = (claims.start[grouped.rows] < 0) | (claims.end[grouped.rows] < 0)
    kept = (np.bincount(ids[untimed], minlength=count) == 0)[ids]
    sessions = Sessions.of(table, grouped.rows[kept], ids[kept], gap_minutes)
    if not led_by:
        return sessions
    return sessions.filter(sessions.groups.total(table.where("code", led_by.__contains__)) > 0)


def _periods(table: ClaimTable, rows: Ints) -> Ints:
    units = np.maximum(table.claims.units[rows], 1)
    return np.where(units < _MINUTES_FROM, units, -(-units // QUARTER))


def all_periods(table: ClaimTable) -> Ints:
    """Return the periods of every line by its units."""
    return _periods(table, np.arange(len(table.claims)))


@dataclass(frozen=True, slots=True)
class _Day:
    """Sessions of a doctor's day in order of start, each of one patient."""

    sessions: Sessions
    order: Ints
    day: Ints  # the doctor's day of each, in that order

    @classmethod
    def of(cls, evaluation: Evaluation[CheckTest], sessions: Sessions) -> _Day:
        first = sessions.groups.first
        claims = evaluation.table.claims
        day, _ = number(combine([evaluation.table.index("doctor_key")[first], claims.day[first]]))
        order = np.lexsort([claims.record[first], sessions.start, day])
        return cls(sessions, order, day[order])

    def matches(
        self, evaluation: Evaluation[CheckTest], later: Ints, earlier: Ints, downgraded: Mask | None
    ) -> Matches:
        """Return matches of a later session and the earlier one that it runs into."""
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
            "start": _clock(evaluation, groups.first[later]),
            "other_code": evaluation.table.text("code", groups.first[earlier]),
        }
        return Matches(affected, len(groups), risk=affected.filter_rows(is_later), facts=facts, downgraded=downgraded)


def _clock(evaluation: Evaluation[CheckTest], rows: Ints) -> list[str]:
    return [f"{second // 3600:02}:{second // 60 % 60:02}" for second in evaluation.table.claims.start[rows].tolist()]


def min_gap(evaluation: Evaluation[MinGap]) -> Matches:
    """Find sessions that begin before the one before them, of another patient, has run its billed periods."""
    table = evaluation.table
    day = _Day.of(evaluation, timed_sessions(evaluation, evaluation.test.gap_minutes, evaluation.test.led_by))
    groups = day.sessions.groups
    extra = table.where("code", evaluation.test.extra.__contains__)
    billed = groups.total(np.where(extra, all_periods(table), 0))
    due = day.sessions.start + (evaluation.test.first + QUARTER * billed) * 60
    before, after = day.order[:-1], day.order[1:]
    patient = table.index("patient_key")[groups.first]
    early = (day.day[1:] == day.day[:-1]) & (billed[before] > 0) & (patient[before] != patient[after])
    early &= day.sessions.start[after] < due[before]
    return day.matches(evaluation, after[early], before[early], None)


def no_overlap(evaluation: Evaluation[NoOverlap]) -> Matches:
    """Find sessions that begin before an earlier one of the doctor's day has ended; downgraded for the same patient."""
    table = evaluation.table
    day = _Day.of(evaluation, timed_sessions(evaluation, evaluation.test.gap_minutes))
    if not len(day.order):
        return Matches.none()
    start, end = day.sessions.start[day.order], day.sessions.end[day.order]
    reach = running_end(day.day, end)
    holder = _last_true(np.concatenate([[True], (day.day[1:] != day.day[:-1]) | (end[1:] > reach[:-1])]))
    later = np.flatnonzero((day.day[1:] == day.day[:-1]) & (start[1:] < reach[:-1])) + 1
    earlier = holder[later - 1]
    first = day.sessions.groups.first[day.order]
    group_act = table.where("code", evaluation.test.collective.__contains__)[first]
    same_act = (start[later] == start[earlier]) & (end[later] == end[earlier])
    apart = ~(group_act[later] & group_act[earlier] & same_act)
    later, earlier = later[apart], earlier[apart]
    patient = table.index("patient_key")[first]
    return day.matches(evaluation, day.order[later], day.order[earlier], patient[later] == patient[earlier])


def _last_true(marks: Mask) -> Ints:
    """Return, for each position, the latest one at or before it that is marked."""
    return np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))


class DurationRange(CheckTest):
    """Minutes (of sessions, lines, units) from `min` to `max`; or the additional periods that they give."""

    facts = ("minutes", "min", "max", "billed", "expected", "count")
    evaluate: ClassVar[Evaluate] = staticmethod(duration_range)

    primitive: Literal["duration_range"]
    of: Literal["sessions", "lines", "units", "groups", "periods", "observation"]
    min: Whole = 0
    max: Whole | None = None
    first: Whole = 30
    led_by: Codes = frozenset()
    extra: Codes = frozenset()
    extra_of: Annotated[dict[Code, Code], Field(min_length=1)] = Field(default_factory=dict)
    look_for: Literal["too_many", "too_few"] = "too_many"
    gap_minutes: Whole = QUARTER

    @model_validator(mode="after")
    def _has_a_maximum(self) -> Self:
        if self.of == "groups" and self.max is None:
            raise ValueError("duration_range of groups needs max")
        return self

    def required_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        return ("units",) if self.of in ("units", "groups") else _TIMES

    def optional_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        columns = {"sessions": ("context",), "periods": ("context", "units"), "observation": ("units",)}
        return columns.get(self.of, ())


class MinGap(CheckTest):
    """The next patient no sooner than `first` minutes and the billed quarter-hours (`extra`) after a start."""

    facts = ("start", "other_code")
    required = _TIMES
    optional = ("context", "units")
    evaluate: ClassVar[Evaluate] = staticmethod(min_gap)

    primitive: Literal["min_gap"]
    group: Group = ("doctor", "patient", "day")
    first: Whole = 30
    extra: Codes
    led_by: Codes = frozenset()
    gap_minutes: Whole = QUARTER


class NoOverlap(CheckTest):
    """Timed sessions of a doctor do not overlap; `collective` acts with the same times are one."""

    facts = ("start", "other_code")
    required = _TIMES
    optional = ("context",)
    evaluate: ClassVar[Evaluate] = staticmethod(no_overlap)

    primitive: Literal["no_overlap"]
    group: Group = ("doctor", "patient", "day")
    collective: Codes = frozenset()
    gap_minutes: Whole = 0


PRIMITIVES = (DurationRange, MinGap, NoOverlap)
