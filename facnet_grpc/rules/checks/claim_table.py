"""The lines of one file as checks ask for them: which have these codes, who is how old, what belongs together.

Everything is worked out when it is first asked for, and once for all checks of a run, in whatever threads they are. A
check whose codes are not in the file's dictionary of codes touches no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.rules.checks import days_off
from facnet_grpc.rules.checks.nam import NO_DAY, Nams
from facnet_grpc.rules.table.arrays import Column, Ints, Mask, in_slices, look_up
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.parallel import cached

# Columns that checks read and that are dictionaries in `RULE_SCHEMA`.
DICTIONARIES = frozenset(
    {"place", "code", "context", "doctor_key", "patient_key", "patient_name", "role", "payment_period"},
)
NO_AGE = -(1 << 31)
_MONTHS = {"years": 12, "months": 1}
_RADIX = 1 << 16  # numpy sorts 16-bit numbers by radix


class ClaimTable:
    """A table of `RULE_SCHEMA`, and what checks have asked of it so far. Rows are positions in the table."""

    def __init__(self, lines: pa.Table) -> None:
        self.claims = Claims(lines)
        self._has: dict[str, bool] = {}  # two threads may both look: it is cheap, and they see the same

    def has(self, column: str) -> bool:
        """Return whether a column holds something."""
        if column not in self._has:
            self._has[column] = not self.claims.is_empty(column)
        return self._has[column]

    def where_known(self, rows: Ints, columns: Iterable[str]) -> Ints:
        """Return the rows that have a value in each of `columns`."""
        for column in columns:
            known = self.known(column)[rows]
            rows = rows if known.all() else rows[known]
        return rows

    def known(self, column: str) -> Mask:
        """Return which lines have a value in a column."""
        if column in DICTIONARIES:
            return self.index(column) >= 0
        return np.asarray(self.claims.column(column).is_valid())

    def index(self, column: str) -> Ints:
        """Return a dictionary column as indices, -1 where a line has no value."""
        return self.claims.indices(column)

    def texts(self, column: str) -> list[str]:
        """Return the distinct values of a dictionary column, in the order of `index`."""
        return [value or "" for value in self.claims.dictionary(column).to_pylist()]

    def where(self, column: str, test: Callable[[str], bool]) -> Mask:
        """Return the lines whose value passes `test`, which is asked once per distinct value."""
        answers = [bool(text) and test(text) for text in self.texts(column)]
        return look_up(np.array([*answers, False], np.bool_), self.index(column))

    @property
    def billed(self) -> Ints:
        """The rows of billed lines, ascending."""
        return np.flatnonzero(self.claims.billed)

    def with_codes(self, codes: frozenset[str]) -> Ints:
        """Return the billed rows that have one of `codes`, ascending."""
        rows, starts = self._by_code
        wanted = [index for index, text in enumerate(self.texts("code")) if text in codes]
        if not wanted:
            return np.zeros(0, np.int64)
        return np.sort(np.concatenate([rows[starts[index] : starts[index + 1]] for index in wanted])).astype(np.int64)

    @cached
    def paid_cents(self) -> Column:
        """Paid amounts in cents; -1 where the file does not say."""
        return self.claims.numbers("paid_cents", -1)

    @cached
    def month(self) -> Column:
        """Months of the service dates, counted from 1970-01."""
        days = self.claims.day
        return Column(lambda rows: days[rows].view("datetime64[D]").astype("datetime64[M]").astype(np.int64))

    def off(self, rows: Ints) -> Mask:
        """Return which rows are of a Saturday, a Sunday or a holiday."""
        first, _ = self.claims.days
        return self._days_off[self.claims.day[rows] - first]

    @cached
    def _days_off(self) -> Mask:
        first, last = self.claims.days
        return days_off.is_off(np.arange(first, last + 1))

    @cached
    def nams(self) -> Nams:
        """The patients' NAMs, in the order of the dictionary of patients."""
        return Nams.of(self.claims.dictionary("patient_key").cast(pa.string()))

    def born(self, rows: Ints) -> Ints:
        """Return the patients' birth days, `NO_DAY` where the NAM does not tell."""
        patients = self.index("patient_key")[rows]
        days = np.full(len(rows), NO_DAY, np.int64)
        named = patients >= 0
        days[named] = self.nams.born(patients[named], self.claims.day[rows[named]])
        return days

    def ages(self, rows: Ints, unit: str) -> Ints:
        """Return the patients' ages on the day of service in completed days, months or years, `NO_AGE` if unknown."""
        return in_slices(rows, lambda some: self._ages(some, unit))

    def _ages(self, rows: Ints, unit: str) -> Ints:
        born, days = self.born(rows), self.claims.day[rows]
        ages = days - born if unit == "days" else months_between(born, days) // _MONTHS[unit]
        return np.where(born == NO_DAY, NO_AGE, ages)

    def invoices(self, rows: Ints) -> Ints:
        """Return a number for each invoice of `rows`, -1 where a line has none."""
        encoded = self.claims.column("invoice").take(pa.array(rows)).dictionary_encode()
        return np.asarray(encoded.indices.fill_null(-1)).astype(np.int64)

    def text(self, column: str, rows: Ints) -> pa.Array:
        """Return the text of a dictionary column in these rows, "" where there is none."""
        return pc.fill_null(self.claims.text(column, rows), "")

    @cached
    def _by_code(self) -> tuple[Ints, Ints]:
        """Billed rows sorted by code, and where each code of the dictionary begins."""
        size = len(self.texts("code"))
        billed = self.billed.astype(np.int32)
        codes = self.index("code")[billed]
        order = np.argsort(codes.astype(np.uint16) if size < _RADIX else codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=size))])
        return billed[order], starts


def months_between(earlier: Ints, later: Ints) -> Ints:
    """Return how many whole months lie between days: from January 31 to March 30 it is one."""
    first, last = earlier.view("datetime64[D]"), later.view("datetime64[D]")
    first_month, last_month = first.astype("datetime64[M]"), last.astype("datetime64[M]")
    first_day = (first - first_month.astype("datetime64[D]")).astype(np.int64)
    last_day = (last - last_month.astype("datetime64[D]")).astype(np.int64)
    months: Ints = (last_month - first_month).astype(np.int64) - (last_day < first_day)
    return months
