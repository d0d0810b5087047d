"""When something may be billed: `time_window`, `day_of_week`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work

DAYS = ("any", "weekday", "off")  # off: Saturdays, Sundays and holidays


@dataclass(frozen=True, slots=True)
class Window:
    """A part of some days: from `start` (included) to `end` (not included), in seconds of the day."""

    days: str
    start: int
    end: int
    codes: frozenset[str]  # empty: all codes of the test


def time_window(work: Work) -> Hits:
    """Find lines that start outside every window of their code."""
    sheet, claims = work.sheet, work.sheet.claims
    rows = work.rows[claims.start[work.rows] >= 0]
    start, off = claims.start[rows], sheet.off(rows)
    inside = np.zeros(len(rows), np.bool_)
    for window in work.params["windows"]:
        fits = (start >= window.start) & (start < window.end)
        if window.days != "any":
            fits &= off == (window.days == "off")
        if window.codes:
            fits &= sheet.where("code", window.codes.__contains__)[rows]
        inside |= fits
    return Hits.lines(rows[~inside], len(rows))


def day_of_week(work: Work) -> Hits:
    """Find lines of a day that is off where a working day is asked for, or the other way round."""
    wrong = work.sheet.off(work.rows) == (work.params["days"] == "weekday")
    return Hits.lines(work.rows[wrong], len(work.rows))


PRIMITIVES = (
    Primitive(
        name="time_window",
        run=time_window,
        doc="A start in one of `windows`, each with `from`, `to`, `days` (any, weekday, off) and `codes`.",
        fields={"windows": Field("windows", required=True)},
        needs=lambda _: ("start_time",),
    ),
    Primitive(
        name="day_of_week",
        run=day_of_week,
        doc="On a `weekday` that is no holiday, or on a day `off`.",
        fields={"days": Field("choice", required=True, choices=("weekday", "off"))},
    ),
)
