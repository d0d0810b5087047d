"""What a value has to look like: `format`, `filing_deadline`, `duplicate`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from facnet_grpc.calendar import day_number
from facnet_grpc.rules.checks import days_off
from facnet_grpc.rules.checks.grouping import OTHER_SESSION, GroupedRows, chronological
from facnet_grpc.rules.checks.nam import letters_of_keys, letters_of_names
from facnet_grpc.rules.checks.primitives.base import CheckTest, Evaluate, Evaluation, Group, Matches, Texts, Whole
from facnet_grpc.rules.table.arrays import Ints, Mask, mask_in_slices

TODAY = "today"  # what a rule lacks that was not told the day of the run

_PLACE = re.compile(r"\d{5}")
_PERIOD = re.compile(r"(\d{4})(\d{2})")
_NO_WEEK = -1


def format_(evaluation: Evaluation[Format]) -> Matches:
    """Find values that are not written as they have to be; one hit a group."""
    rows, wrong = _FORMATS[evaluation.test.of](evaluation)
    if rows is None:
        return Matches.not_evaluable(TODAY)
    if evaluation.test.group == ("line",):
        return Matches.of_lines(rows[wrong], len(rows))
    grouped = GroupedRows.of(evaluation.table, rows[wrong], evaluation.test.group)
    groups = chronological(evaluation.table, grouped.rows, grouped.ids)
    return Matches(groups, GroupedRows.of(evaluation.table, rows, evaluation.test.group).count, risk=groups)


_Found = tuple[Ints | None, Mask]


def _nam(evaluation: Evaluation[Format]) -> _Found:
    rows, patients = _named(evaluation)
    nams = evaluation.table.nams
    return rows, ~(nams.well_formed | nams.masked)[patients]


def _nam_birth(evaluation: Evaluation[Format]) -> _Found:
    rows, patients = _named(evaluation)
    well = evaluation.table.nams.well_formed[patients]
    rows = rows[well]
    index, days = evaluation.table.index("patient_key"), evaluation.table.claims.day
    return rows, mask_in_slices(rows, lambda some: evaluation.table.nams.impossible(index[some], days[some]))


def _nam_check(evaluation: Evaluation[Format]) -> _Found:
    rows, patients = _named(evaluation)
    well = evaluation.table.nams.well_formed[patients]
    return rows[well], evaluation.table.nams.check_fails[patients[well]]


def _nam_name(evaluation: Evaluation[Format]) -> _Found:
    table = evaluation.table
    rows, patients = _named(evaluation)
    rows = table.where_known(rows[(table.nams.well_formed | table.nams.masked)[patients]], ["patient_name"])
    by_name = letters_of_names(table.claims.dictionary("patient_name").cast(pa.string()))
    by_nam = letters_of_keys(table.claims.dictionary("patient_key").cast(pa.string()))
    names, patients = by_name[table.index("patient_name")[rows]], by_nam[table.index("patient_key")[rows]]
    readable = names != 0
    return rows[readable], (names != patients)[readable]


def _named(evaluation: Evaluation[Format]) -> tuple[Ints, Ints]:
    rows = evaluation.table.where_known(evaluation.rows, ["patient_key"])
    return rows, evaluation.table.index("patient_key")[rows]


def _future(evaluation: Evaluation[Format]) -> _Found:
    if evaluation.today is None:
        return None, np.zeros(0, np.bool_)
    return evaluation.rows, evaluation.table.claims.day[evaluation.rows] > day_number(evaluation.today)


def _before_1970(evaluation: Evaluation[Format]) -> _Found:
    return evaluation.rows, evaluation.table.claims.day[evaluation.rows] < 0


def _period(evaluation: Evaluation[Format]) -> _Found:
    rows = evaluation.table.where_known(evaluation.rows, ["payment_period"])
    return rows, _weeks(evaluation, rows) == _NO_WEEK


def _period_order(evaluation: Evaluation[Format]) -> _Found:
    rows = evaluation.table.where_known(evaluation.rows, ["payment_period"])
    weeks = _weeks(evaluation, rows)
    rows, weeks = rows[weeks != _NO_WEEK], weeks[weeks != _NO_WEEK]
    return rows, weeks < days_off.week(evaluation.table.claims.day[rows])


def _weeks(evaluation: Evaluation[CheckTest], rows: Ints) -> Ints:
    weeks = np.array([*map(_week_of, evaluation.table.texts("payment_period")), _NO_WEEK], np.int64)
    return weeks[evaluation.table.index("payment_period")[rows]]


def _week_of(text: str) -> int:
    """Return the week of `YYYYWW` as `days_off.week` counts it; a week 53 of a year with 52 is the last one."""
    match = _PERIOD.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 53 or not 1970 <= int(match[1]) <= 9998:  # noqa: PLR2004 - weeks, years
        return _NO_WEEK
    first = day_number(date.fromisocalendar(int(match[1]), 1, 1))
    return int(days_off.week(np.array([first]))[0]) + int(match[2]) - 1


def _interval(evaluation: Evaluation[Format]) -> _Found:
    claims = evaluation.table.claims
    rows = evaluation.rows[(claims.start[evaluation.rows] >= 0) & (claims.end[evaluation.rows] >= 0)]
    return rows, claims.start[rows] == claims.end[rows]


def _doctor(evaluation: Evaluation[Format]) -> _Found:
    prefixes = tuple(evaluation.test.prefixes)
    good = re.compile(r"\d{7}")
    wrong = evaluation.table.where("doctor_key", lambda text: not (good.fullmatch(text) and text.startswith(prefixes)))
    return evaluation.rows, wrong[evaluation.rows]


def _place(evaluation: Evaluation[Format]) -> _Found:
    rows = evaluation.table.where_known(evaluation.rows, ["place"])
    return rows, evaluation.table.where("place", lambda text: not _PLACE.fullmatch(text))[rows]


def _overpaid(evaluation: Evaluation[Format]) -> _Found:
    rows = evaluation.table.where_known(evaluation.rows, ["paid_cents"])
    excess = evaluation.table.paid_cents[rows] - evaluation.table.claims.cents[rows]
    return rows, excess > evaluation.test.tolerance_cents


_FORMATS: dict[str, Callable[[Evaluation[Format]], _Found]] = {
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


def filing_deadline(evaluation: Evaluation[FilingDeadline]) -> Matches:
    """Find unpaid lines whose deadline has passed, or (`soon_days`) is near."""
    if evaluation.today is None:
        return Matches.not_evaluable(TODAY)
    table, test = evaluation.table, evaluation.test
    rows = evaluation.rows[~table.claims.paid[evaluation.rows]]
    answered = table.known("payment_period")[rows]
    if test.since == "service":
        rows = rows[~answered]
        since = table.claims.day[rows]
    else:
        rows, since = statements(evaluation, rows[answered])
    left = since + test.days - day_number(evaluation.today)
    due = left < 0 if test.soon_days is None else (left >= 0) & (left <= test.soon_days)
    last = (since + test.days)[due].view("datetime64[D]").astype(str)
    facts = {"age": (test.days - left)[due], "days": test.days, "left": left[due], "last_date": last}
    return Matches.of_lines(rows[due], len(rows), facts=facts)


def statements(evaluation: Evaluation[CheckTest], rows: Ints) -> tuple[Ints, Ints]:
    """Return those of `rows` whose payment period can be read, and the last day of its week."""
    weeks = _weeks(evaluation, rows)
    rows, weeks = rows[weeks != _NO_WEEK], weeks[weeks != _NO_WEEK]
    return rows, days_off.last_day(weeks)


def duplicate(evaluation: Evaluation[Duplicate]) -> Matches:
    """Find lines that say the same twice; all but the first paid one are at risk. Without a start it is downgraded."""
    table, claims = evaluation.table, evaluation.table.claims
    own = ~table.where("context", lambda text: OTHER_SESSION in text.split(","))[evaluation.rows]
    grouped = GroupedRows.of(table, evaluation.rows[own], evaluation.test.group)
    twice = grouped.filter(grouped.sizes() > 1)
    # Few are left: only now by the clock as well.
    ids = np.unique(np.stack([twice.ids, claims.start[twice.rows]], axis=1), axis=0, return_inverse=True)[1].ravel()
    sizes = np.bincount(ids, minlength=len(ids))
    kept = sizes[ids] > 1
    groups = chronological(table, twice.rows[kept], ids[kept], (~claims.paid[twice.rows[kept]]).astype(np.int64))
    surplus = groups.positions > 0
    return Matches(
        affected=groups.with_first(surplus),
        examined=grouped.count,
        risk=groups.filter_rows(surplus),
        facts={"count": groups.sizes},
        downgraded=claims.start[groups.first] < 0,
    )


class Format(CheckTest):
    """Values `of` a kind are written as they have to be."""

    evaluate: ClassVar[Evaluate] = staticmethod(format_)

    primitive: Literal["format"]
    of: Literal[
        "nam",
        "nam_birth",
        "nam_check",
        "nam_name",
        "date_future",
        "date_before_1970",
        "period",
        "period_order",
        "interval",
        "doctor",
        "place",
        "paid",
    ]
    prefixes: Texts = ()
    tolerance_cents: Whole = 0

    def required_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        return _NEEDS.get(self.of, ())


class FilingDeadline(CheckTest):
    """Unpaid lines no older than `days` on the day of the run, from the service or the statement that refused them."""

    facts = ("age", "days", "left", "last_date")
    optional = ("paid_cents", "payment_period")
    evaluate: ClassVar[Evaluate] = staticmethod(filing_deadline)

    primitive: Literal["filing_deadline"]
    days: Whole
    since: Literal["service", "statement"] = "service"
    soon_days: Whole | None = None


class Duplicate(CheckTest):
    """No two lines that are the same in all that the group is made of, and in their start."""

    facts = ("count",)
    optional = ("context",)
    evaluate: ClassVar[Evaluate] = staticmethod(duplicate)

    primitive: Literal["duplicate"]
    group: Group


PRIMITIVES = (Format, FilingDeadline, Duplicate)
