"""Conditions on single lines: when, at what age, where, in which role, and with what filled in."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from facnet_grpc.rules.checks.claim_table import NO_AGE
from facnet_grpc.rules.checks.primitives.base import (
    CheckTest,
    Codes,
    Entry,
    Evaluate,
    Evaluation,
    Matches,
    Texts,
    Whole,
)

_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


def _clock(value: Any) -> int:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"a time is a text such as 07:00, not {value!r}")
    return int(match[1]) * 3600 + int(match[2]) * 60


Clock = Annotated[int, BeforeValidator(_clock)]


class Window(Entry):
    """A part of some days: from `start` (included) to `end` (not included), in seconds of the day."""

    start: Clock = Field(alias="from")
    end: Clock = Field(alias="to")
    days: Literal["any", "weekday", "off"] = "any"  # off: Saturdays, Sundays and holidays
    codes: Codes = frozenset()  # empty: all codes of the test

    @field_validator("end")
    @classmethod
    def _in_order(cls, end: int, info: ValidationInfo) -> int:
        if end <= info.data.get("start", -1):
            raise ValueError("a window ends after it begins; one over midnight is two windows")
        return end


def time_window(evaluation: Evaluation[TimeWindow]) -> Matches:
    """Find lines that start outside every window of their code."""
    table, claims = evaluation.table, evaluation.table.claims
    rows = evaluation.rows[claims.start[evaluation.rows] >= 0]
    start, off = claims.start[rows], table.off(rows)
    inside = np.zeros(len(rows), np.bool_)
    for window in evaluation.test.windows:
        fits = (start >= window.start) & (start < window.end)
        if window.days != "any":
            fits &= off == (window.days == "off")
        if window.codes:
            fits &= table.where("code", window.codes.__contains__)[rows]
        inside |= fits
    return Matches.of_lines(rows[~inside], len(rows))


def day_of_week(evaluation: Evaluation[DayOfWeek]) -> Matches:
    """Find lines of a day that is off where a working day is asked for, or the other way round."""
    wrong = evaluation.table.off(evaluation.rows) == (evaluation.test.days == "weekday")
    return Matches.of_lines(evaluation.rows[wrong], len(evaluation.rows))


def age_range(evaluation: Evaluation[AgeRange]) -> Matches:
    """Find lines of patients who are younger than `min` or older than `max`, in completed units."""
    table, test = evaluation.table, evaluation.test
    ages = table.ages(evaluation.rows, test.unit)
    known = ages != NO_AGE
    rows, age = evaluation.rows[known], ages[known]
    outside = age < test.min
    if test.max is not None:
        outside |= age > test.max
    return Matches.of_lines(rows[outside], len(rows), facts={"age": age[outside]})


def required_field(evaluation: Evaluation[RequiredField]) -> Matches:
    """Find lines without a value in one of `columns`; zero units are none."""
    rows = evaluation.rows
    lacking = np.zeros(len(rows), np.bool_)
    for column in evaluation.test.columns_:
        lacking |= ~evaluation.table.known(column)[rows]
        if column == "units":
            lacking |= evaluation.table.claims.units[rows] < 1
    return Matches.of_lines(rows[lacking], len(rows))


def role_allowed(evaluation: Evaluation[RoleAllowed]) -> Matches:
    """Find lines whose role is not one of `allowed`; a line without a role is left out."""
    allowed = set(evaluation.test.allowed)
    rows = evaluation.table.where_known(evaluation.rows, ["role"])
    wrong = evaluation.table.where("role", lambda text: text.lstrip("0") not in allowed)[rows]
    return Matches.of_lines(rows[wrong], len(rows), facts={"role": evaluation.table.text("role", rows[wrong])})


def place_class(evaluation: Evaluation[PlaceClass]) -> Matches:
    """Find lines at a known place of the other class."""
    claims = evaluation.table.claims
    rows = evaluation.table.where_known(evaluation.rows, ["place"])
    inside = (claims.in_cabinet if evaluation.test.place_class == "cabinet" else claims.in_establishment)[rows]
    return Matches.of_lines(rows[~inside], len(rows), facts={"place": evaluation.table.text("place", rows[~inside])})


def place_list(evaluation: Evaluation[PlaceList]) -> Matches:
    """Find lines at a known place that is not in the list."""
    rows = evaluation.table.where_known(evaluation.rows, ["place"])
    listed = evaluation.table.where("place", frozenset(evaluation.test.only).__contains__)[rows]
    return Matches.of_lines(rows[~listed], len(rows), facts={"place": evaluation.table.text("place", rows[~listed])})


class TimeWindow(CheckTest):
    """A start in one of `windows`, each with `from`, `to`, `days` (any, weekday, off) and `codes`."""

    required = ("start_time",)
    evaluate: ClassVar[Evaluate] = staticmethod(time_window)

    primitive: Literal["time_window"]
    windows: Annotated[tuple[Window, ...], Field(min_length=1)]


class DayOfWeek(CheckTest):
    """On a `weekday` that is no holiday, or on a day `off`."""

    evaluate: ClassVar[Evaluate] = staticmethod(day_of_week)

    primitive: Literal["day_of_week"]
    days: Literal["weekday", "off"]


class AgeRange(CheckTest):
    """An age of `min` to `max` completed `unit`s (both included) on the day of service."""

    facts = ("age",)
    required = ("patient_key",)
    evaluate: ClassVar[Evaluate] = staticmethod(age_range)

    primitive: Literal["age_range"]
    unit: Literal["years", "months", "days"] = "years"
    min: Whole = 0
    max: Whole | None = None


_COLUMNS = Literal[
    "context",
    "end_time",
    "invoice",
    "paid_cents",
    "patient_key",
    "patient_name",
    "payment_period",
    "place",
    "ramq_id",
    "role",
    "start_time",
    "units",
]


class RequiredField(CheckTest):
    """A value in each of `columns`."""

    evaluate: ClassVar[Evaluate] = staticmethod(required_field)

    primitive: Literal["required_field"]
    columns_: Annotated[tuple[_COLUMNS, ...], Field(min_length=1, alias="columns")]

    def required_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        return self.columns_


class RoleAllowed(CheckTest):
    """One of the roles `allowed`, or none."""

    facts = ("role",)
    required = ("role",)
    evaluate: ClassVar[Evaluate] = staticmethod(role_allowed)

    primitive: Literal["role_allowed"]
    allowed: Texts


class PlaceClass(CheckTest):
    """At a place of a `class`: cabinet (5xxxx) or establishment."""

    facts = ("place",)
    required = ("place",)
    evaluate: ClassVar[Evaluate] = staticmethod(place_class)

    primitive: Literal["place_class"]
    place_class: Literal["cabinet", "establishment"] = Field(alias="class")


class PlaceList(CheckTest):
    """At `only` these places."""

    facts = ("place",)
    required = ("place",)
    evaluate: ClassVar[Evaluate] = staticmethod(place_list)

    primitive: Literal["place_list"]
    only: Texts


PRIMITIVES = (TimeWindow, DayOfWeek, AgeRange, RequiredField, RoleAllowed, PlaceClass, PlaceList)
