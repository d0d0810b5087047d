"""Thresholds, tariffs and sets of codes: data with dates in `parameters.toml`, chosen by service date.

A name may have several entries, one after the other in time. An entry without `from` stands for all days before the
next one (no earlier value is known); one without `to` is in force.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from facnet_grpc.calendar import day_number
from facnet_grpc.rules.api import Parameter


class ParameterError(ValueError):
    """The parameters contradict themselves; the message says which and where."""


@cache
def parameters() -> Mapping[str, tuple[Parameter, ...]]:
    """Return every shipped parameter by name, its entries in order of time."""
    text = (files("facnet_grpc.rules") / "parameters.toml").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def parse(text: str) -> dict[str, tuple[Parameter, ...]]:
    """Read parameters from TOML; raises `ParameterError` on an entry without a basis or two for the same day."""
    by_name: dict[str, list[Parameter]] = {}
    for entry in tomllib.loads(text)["parameter"]:
        by_name.setdefault(entry["name"], []).append(_parameter(entry))
    return {name: _timeline(name, entries) for name, entries in by_name.items()}


def named(*names: str) -> tuple[Parameter, ...]:
    """Return all entries of these parameters, for a rule's facts."""
    return tuple(entry for name in names for entry in parameters()[name])


def numbers(name: str, days: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the value of a shipped parameter on each of `days` (days since 1970-01-01), an int64 array as long."""
    return values_on(parameters()[name], days)


def values_on(entries: tuple[Parameter, ...], days: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the value on each of `days` of one parameter, given all its entries; 0 on a day that none covers."""
    if len(entries) == 1 and (first_day(entries[0]), last_day(entries[0])) == (_FIRST, _LAST):
        return np.full(len(days), entries[0].value, np.int64)
    values = np.zeros(len(days), np.int64)
    for entry in entries:
        values[(days >= first_day(entry)) & (days <= last_day(entry))] = entry.value
    return values


def first_day(entry: Parameter) -> int:
    """Return the first day (since 1970-01-01) on which an entry holds."""
    return _FIRST if entry.valid_from is None else day_number(entry.valid_from)


def last_day(entry: Parameter) -> int:
    """Return the last day (since 1970-01-01) on which an entry holds."""
    return _LAST if entry.valid_to is None else day_number(entry.valid_to)


_FIRST = day_number(date.min)
_LAST = day_number(date.max)


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    value = entry["value"]
    return Parameter(
        name=entry["name"],
        value=tuple(_spread(value)) if isinstance(value, list) else value,
        unit=entry["unit"],
        source=entry["source"],
        valid_from=entry.get("from"),
        valid_to=entry.get("to"),
    )


def _spread(values: list[str]) -> list[str]:
    """Write out ranges: `15765..15767` stands for three codes."""
    spread: list[str] = []
    for value in values:
        first, dots, last = value.partition("..")
        spread += [f"{code:05}" for code in range(int(first), int(last) + 1)] if dots else [first]
    return spread


def _timeline(name: str, entries: list[Parameter]) -> tuple[Parameter, ...]:
    ordered = sorted(entries, key=first_day)
    for entry in ordered:
        if last_day(entry) < first_day(entry) or not entry.source:
            raise ParameterError(f"parameter {name}: ends before it begins, or has no source")
    # A set may be the sum of several entries; a number has one value a day.
    for earlier, later in itertools.pairwise(ordered):
        if isinstance(later.value, int) and first_day(later) <= last_day(earlier):
            raise ParameterError(f"parameter {name}: two values on {later.valid_from}")
    return tuple(ordered)
