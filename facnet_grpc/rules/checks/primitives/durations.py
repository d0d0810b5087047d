"""How long something takes: `duration_range`.

A line's units are quarter-hours up to 7 and minutes from 8 on, and one quarter-hour if there are none (the reading of
the rule `clinical_intervention`).
"""

from __future__ import annotations

import numpy as np

from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import OTHER_SESSION, Keyed, Sessions, chronological, part_of, surplus_first
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Params, Primitive, Work
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups
from facnet_grpc.rules.table.text_ids import number

QUARTER = 15
_MINUTES_FROM = 8  # units of 8 and more are minutes


def duration_range(work: Work) -> Hits:
    """Find sessions, lines or groups that last too long or not long enough; see `of` and `look_for`."""
    return _KINDS[work.params["of"]](work)


def _of_sessions(work: Work) -> Hits:
    sessions = timed_sessions(work)
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
    minutes = np.where(units < _MINUTES_FROM, units * QUARTER, units)
    wrong = _outside(minutes, work.params) | (minutes % QUARTER != 0)
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
    sessions = timed_sessions(work)
    groups, minutes = sessions.groups, sessions.minutes
    extra = sheet.where("code", params["extra"].__contains__)
    billed = groups.total(np.where(extra, all_periods(sheet), 0))
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
    return rest // QUARTER + (rest % QUARTER >= _MINUTES_FROM)


def _of_observation(work: Work) -> Hits:
    """Find lines that bill more quarter-hours than their time gives after the first period, which is never paid."""
    minutes = work.sheet.claims.minutes[work.rows]
    rows, minutes = work.rows[minutes >= 0], minutes[minutes >= 0]
    expected = np.maximum(minutes - work.params["first"], 0) // QUARTER
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


def timed_sessions(work: Work) -> Sessions:
    """Return the sessions of lines with start and end; a group with a line without them has none.

    With `led_by`, only sessions that have a line with one of these codes.
    """
    sheet, claims = work.sheet, work.sheet.claims
    keyed = Keyed.of(sheet, work.rows, work.group)
    other = sheet.where("context", lambda text: OTHER_SESSION in text.split(","))[keyed.rows]
    ids, count = number(keyed.ids * np.int64(2) + other)
    untimed = (claims.start[keyed.rows] < 0) | (claims.end[keyed.rows] < 0)
    whole = np.bincount(ids[untimed], minlength=count) == 0
    kept = whole[ids]
    sessions = Sessions.of(sheet, keyed.rows[kept], ids[kept], work.params["gap_minutes"])
    leaders: frozenset[str] = work.params.get("led_by", frozenset())
    return (
        sessions.having(sessions.groups.total(sheet.where("code", leaders.__contains__)) > 0) if leaders else sessions
    )


def _periods(sheet: ClaimTable, rows: Ints) -> Ints:
    units = np.maximum(sheet.claims.units[rows], 1)
    return np.where(units < _MINUTES_FROM, units, -(-units // QUARTER))


def all_periods(sheet: ClaimTable) -> Ints:
    """Return the periods of every line by its units."""
    return _periods(sheet, np.arange(len(sheet.claims)))


TIMES = ("start_time", "end_time")
LED_BY = Field("codes", default=frozenset())
GAP = Field("int", default=QUARTER)


def _needs(params: Params) -> tuple[str, ...]:
    return ("units",) if params["of"] in ("units", "groups") else TIMES


def _reads(params: Params) -> tuple[str, ...]:
    return {"sessions": ("context",), "periods": ("context", "units"), "observation": ("units",)}.get(params["of"], ())


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
            "led_by": LED_BY,
            "extra": Field("codes", default=frozenset()),
            "extra_of": Field("code_by_code", default={}),
            "look_for": Field("choice", default="too_many", choices=("too_many", "too_few")),
            "gap_minutes": GAP,
        },
        needs=_needs,
        reads=_reads,
        facts=("minutes", "min", "max", "billed", "expected", "count"),
    ),
)
