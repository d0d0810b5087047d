"""What a value has to look like: `format`, `filing_deadline`, `duplicate`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa

from facnet_grpc.calendar import day_number
from facnet_grpc.rules.checks import calendar
from facnet_grpc.rules.checks.grouping import OTHER_SESSION, Keyed, chronological, part_of, rank, surplus_first
from facnet_grpc.rules.checks.nam import letters_of_keys, letters_of_names
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Params, Primitive, Work
from facnet_grpc.rules.table.arrays import ask
from facnet_grpc.rules.table.claims import Ints, Mask

TODAY = "today"  # what a rule lacks that was not told the day of the run

_PLACE = re.compile(r"\d{5}")
_PERIOD = re.compile(r"(\d{4})(\d{2})")
_NO_WEEK = -1


def format_(work: Work) -> Hits:
    """Find values that are not written as they have to be; one hit a group."""
    rows, wrong = _FORMATS[work.params["of"]](work)
    if rows is None:
        return Hits.lacks(TODAY)
    if work.group == ("line",):
        return Hits.lines(rows[wrong], len(rows))
    keyed = Keyed.of(work.sheet, rows[wrong], work.group)
    groups = chronological(work.sheet, keyed.rows, keyed.ids)
    return Hits(groups, Keyed.of(work.sheet, rows, work.group).count, risk=groups)


_Found = tuple[Ints | None, Mask]


def _nam(work: Work) -> _Found:
    rows, patients = _named(work)
    nams = work.sheet.nams
    return rows, ~(nams.well_formed | nams.masked)[patients]


def _nam_birth(work: Work) -> _Found:
    rows, patients = _named(work)
    well = work.sheet.nams.well_formed[patients]
    rows = rows[well]
    index, days = work.sheet.index("patient_key"), work.sheet.claims.day
    return rows, ask(rows, lambda some: work.sheet.nams.impossible(index[some], days[some]))


def _nam_check(work: Work) -> _Found:
    rows, patients = _named(work)
    well = work.sheet.nams.well_formed[patients]
    return rows[well], work.sheet.nams.check_fails[patients[well]]


def _nam_name(work: Work) -> _Found:
    sheet = work.sheet
    rows, patients = _named(work)
    rows = sheet.where_known(rows[(sheet.nams.well_formed | sheet.nams.masked)[patients]], ["patient_name"])
    by_name = letters_of_names(sheet.claims.dictionary("patient_name").cast(pa.string()))
    by_nam = letters_of_keys(sheet.claims.dictionary("patient_key").cast(pa.string()))
    names, patients = by_name[sheet.index("patient_name")[rows]], by_nam[sheet.index("patient_key")[rows]]
    readable = names != 0
    return rows[readable], (names != patients)[readable]


def _named(work: Work) -> tuple[Ints, Ints]:
    rows = work.sheet.where_known(work.rows, ["patient_key"])
    return rows, work.sheet.index("patient_key")[rows]


def _future(work: Work) -> _Found:
    if work.today is None:
        return None, np.zeros(0, np.bool_)
    return work.rows, work.sheet.claims.day[work.rows] > day_number(work.today)


def _before_1970(work: Work) -> _Found:
    return work.rows, work.sheet.claims.day[work.rows] < 0


def _period(work: Work) -> _Found:
    rows = work.sheet.where_known(work.rows, ["payment_period"])
    return rows, _weeks(work, rows) == _NO_WEEK


def _period_order(work: Work) -> _Found:
    rows = work.sheet.where_known(work.rows, ["payment_period"])
    weeks = _weeks(work, rows)
    rows, weeks = rows[weeks != _NO_WEEK], weeks[weeks != _NO_WEEK]
    return rows, weeks < calendar.week(work.sheet.claims.day[rows])


def _weeks(work: Work, rows: Ints) -> Ints:
    weeks = np.array([*map(_week_of, work.sheet.texts("payment_period")), _NO_WEEK], np.int64)
    return weeks[work.sheet.index("payment_period")[rows]]


def _week_of(text: str) -> int:
    """Return the week of `YYYYWW` as `days_off.week` counts it; a week 53 of a year with 52 is the last one."""
    match = _PERIOD.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 53 or not 1970 <= int(match[1]) <= 9998:  # noqa: PLR2004 - weeks, years
        return _NO_WEEK
    first = day_number(date.fromisocalendar(int(match[1]), 1, 1))
    return int(calendar.week(np.array([first]))[0]) + int(match[2]) - 1


def _interval(work: Work) -> _Found:
    claims = work.sheet.claims
    rows = work.rows[(claims.start[work.rows] >= 0) & (claims.end[work.rows] >= 0)]
    return rows, claims.start[rows] == claims.end[rows]


def _doctor(work: Work) -> _Found:
    prefixes = tuple(work.params["prefixes"])
    good = re.compile(r"\d{7}")
    wrong = work.sheet.where("doctor_key", lambda text: not (good.fullmatch(text) and text.startswith(prefixes)))
    return work.rows, wrong[work.rows]


def _place(work: Work) -> _Found:
    rows = work.sheet.where_known(work.rows, ["place"])
    return rows, work.sheet.where("place", lambda text: not _PLACE.fullmatch(text))[rows]


def _overpaid(work: Work) -> _Found:
    rows = work.sheet.where_known(work.rows, ["paid_cents"])
    excess = work.sheet.paid_cents[rows] - work.sheet.claims.cents[rows]
    return rows, excess > work.params["tolerance_cents"]


_FORMATS: dict[str, Callable[[Work], _Found]] = {
    "nam": _nam,
    "nam_birth": _nam_birth,
    "nam_check": _nam_check,
    "nam_name": _nam_name,
    "date_future": _future,
    "date_before_1970": _before_1970,
    "period": _period,
    "period_order": _period_order,
    "interval": _interval,
    "doctor": _doctor,
    "place": _place,
    "paid": _overpaid,
}
_NEEDS = {
    "nam": ("patient_key",),
    "nam_birth": ("patient_key",),
    "nam_check": ("patient_key",),
    "nam_name": ("patient_key", "patient_name"),
    "period": ("payment_period",),
    "period_order": ("payment_period",),
    "interval": ("start_time", "end_time"),
    "place": ("place",),
    "paid": ("paid_cents",),
}


def filing_deadline(work: Work) -> Hits:
    """Find unpaid lines that are older than `days` on the day of the run, but not than `until_days`."""
    if work.today is None:
        return Hits.lacks(TODAY)
    rows = work.rows[~work.sheet.claims.paid[work.rows]]
    age = day_number(work.today) - work.sheet.claims.day[rows]
    late = age > work.params["days"]
    if work.params["until_days"] is not None:
        late &= age <= work.params["until_days"]
    return Hits.lines(rows[late], len(rows), facts={"age": age[late], "days": work.params["days"]})


def duplicate(work: Work) -> Hits:
    """Find lines that say the same twice; all but the first paid one are at risk. Without a start it is milder."""
    sheet, claims = work.sheet, work.sheet.claims
    own = ~sheet.where("context", lambda text: OTHER_SESSION in text.split(","))[work.rows]
    keyed = Keyed.of(sheet, work.rows[own], work.group)
    twice = keyed.only(keyed.sizes() > 1)
    # Few are left: only now by the clock as well.
    ids = np.unique(np.stack([twice.ids, claims.start[twice.rows]], axis=1), axis=0, return_inverse=True)[1].ravel()
    sizes = np.bincount(ids, minlength=len(ids))
    kept = sizes[ids] > 1
    groups = chronological(sheet, twice.rows[kept], ids[kept], (~claims.paid[twice.rows[kept]]).astype(np.int64))
    surplus = rank(groups) > 0
    return Hits(
        affected=surplus_first(groups, surplus),
        seen=keyed.count,
        risk=part_of(groups, surplus),
        facts={"count": groups.sizes},
        milder=claims.start[groups.first] < 0,
    )


def _needs(params: Params) -> tuple[str, ...]:
    return _NEEDS.get(params["of"], ())


PRIMITIVES = (
    Primitive(
        name="format",
        run=format_,
        doc="Values `of` a kind are written as they have to be.",
        fields={
            "of": Field("choice", required=True, choices=tuple(_FORMATS)),
            "prefixes": Field("texts", default=()),
            "tolerance_cents": Field("int", default=0),
        },
        needs=_needs,
    ),
    Primitive(
        name="filing_deadline",
        run=filing_deadline,
        doc="Unpaid lines no older than `days` on the day of the run.",
        fields={"days": Field("int", required=True), "until_days": Field("int")},
        facts=("age", "days"),
        reads=lambda _: ("paid_cents",),
    ),
    Primitive(
        name="duplicate",
        run=duplicate,
        doc="No two lines that are the same in all that the group is made of, and in their start.",
        facts=("count",),
        reads=lambda _: ("context",),
        groups=None,
    ),
)
