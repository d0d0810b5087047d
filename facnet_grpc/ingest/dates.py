"""Service dates: one order of day, month and year per file, found from the whole column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from enum import Enum

from facnet_grpc.calendar import day_number
from facnet_grpc.errors import Reason, TerminalError

_YEARS = range(1900, 2100)
_TIME = r"(?:[ T]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _TIME, re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _TIME, re.ASCII)
_MONTHS = 12
# A file is what 99 of 100 telling dates say; the others are mistakes in it.
_OUTVOTED = 100


class DateOrder(Enum):
    """In which order a date's parts come."""

    YEAR_FIRST = "%Y-%m-%d"
    DAY_FIRST = "%d-%m-%Y"
    MONTH_FIRST = "%m-%d-%Y"


class DateTally:
    """Counts what a column of dates can be read as."""

    def __init__(self) -> None:
        self._shapes: Counter[str] = Counter()
        self._year_last = self._day_first = self._month_first = 0

    def add(self, texts: Iterable[str], counts: Iterable[int]) -> None:
        """Look at distinct texts, each with the number of its lines."""
        for text, count in zip(texts, counts, strict=True):
            if match := _YEAR_FIRST.fullmatch(text.strip()):
                self._shapes["%Y{0}%m{0}%d".format(match[2]) + _suffix(text)] += count
            elif match := _YEAR_LAST.fullmatch(text.strip()):
                self._year_last += count
                self._shapes["{1}" + match[2] + "{2}" + match[2] + "%Y" + _suffix(text)] += count
                self._day_first += count * (int(match[1]) > _MONTHS >= int(match[3]))
                self._month_first += count * (int(match[3]) > _MONTHS >= int(match[1]))

    @property
    def is_year_last(self) -> bool:
        """Whether most dates have the year last, so that day and month must be told apart."""
        return self._year_last * 2 > self._shapes.total()

    @property
    def is_empty(self) -> bool:
        """Whether nothing looked like a date."""
        return not self._shapes

    def order(self) -> DateOrder:
        """Return the order.

        Raises:
            TerminalError: AMBIGUOUS_DATES: no date, or not nearly all of them, tells day from month.
        """
        if not self.is_year_last:
            return DateOrder.YEAR_FIRST
        if self._day_first > self._month_first * _OUTVOTED:
            return DateOrder.DAY_FIRST
        if self._month_first > self._day_first * _OUTVOTED:
            return DateOrder.MONTH_FIRST
        raise TerminalError(Reason.AMBIGUOUS_DATES, day_first=self._day_first, month_first=self._month_first)

    def format(self, order: DateOrder) -> str:
        """Return how most dates are written, as for `strftime`."""
        year_last = order is not DateOrder.YEAR_FIRST
        shapes = [(count, shape) for shape, count in self._shapes.items() if shape.startswith("{") == year_last]
        if not shapes:
            return order.value
        first, second = ("%m", "%d") if order is DateOrder.MONTH_FIRST else ("%d", "%m")
        return max(shapes)[1].replace("{1}", first).replace("{2}", second)


def days(text: str, order: DateOrder) -> int | None:
    """Return the days since 1970-01-01, None if the text is no date in this order. A time of day does not matter."""
    if order is DateOrder.YEAR_FIRST:
        match = _YEAR_FIRST.fullmatch(text)
        parts = match.group(1, 3, 4) if match else None
    else:
        match = _YEAR_LAST.fullmatch(text)
        parts = match.group(4, 3, 1) if match else None
        if parts and order is DateOrder.MONTH_FIRST:
            parts = (parts[0], parts[2], parts[1])
    if parts is None or int(parts[0]) not in _YEARS:
        return None
    try:
        return day_number(date(int(parts[0]), int(parts[1]), int(parts[2])))
    except ValueError:
        return None


def _suffix(text: str) -> str:
    return " %H:%M:%S" if ":" in text else ""
