"""The columns of a file as arrays, and the terms that all rules share: billed, paid, cabinet, minutes, year, order.

Text columns are dictionaries: a test of texts is evaluated once for each distinct value, and looked up for each line by
its index. Nothing here loops over lines.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
import pyarrow as pa

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.rules.parameters import first_day, last_day, parameters
from facnet_grpc.rules.table import arrays
from facnet_grpc.rules.table.arrays import Column, Ints, Mask, blanks, dense, indices_of, look_up, values_of
from facnet_grpc.rules.table.parallel import cached

# The columns that `Claims` reads by itself; others only by their name.
CLAIM_COLUMNS = frozenset(
    {
        *("record_number", "service_date", "start_time", "end_time", "place", "code", "units", "context"),
        *("preliminary_cents", "paid_cents", "doctor_key", "patient_key"),
    },
)

EXCLUDED = "excluded"  # a column that is true for lines that are reversed or superseded, see `exclusions`


class Claims:
    """A table with columns of `RULE_SCHEMA` as arrays: one value a line, in the order of the table.

    Rows are positions in the table (integers). Methods that return a `Mask` return one boolean a line. An object may be
    used by several threads.
    """

    def __init__(self, lines: pa.Table) -> None:
        self._lines = lines
        self._index_of: dict[str, Ints] = {}
        self._indexing = Lock()  # an index may be as large as its column: two of it would be too much

    def __len__(self) -> int:
        return int(self._lines.num_rows)

    @cached
    def billed(self) -> Mask:
        """Lines with a preliminary amount above zero that are neither reversed nor superseded; no other line counts."""
        positive = self._is_positive("preliminary_cents")
        if EXCLUDED in self._lines.column_names:
            positive &= ~np.asarray(self.column(EXCLUDED))
        return positive

    @cached
    def paid(self) -> Mask:
        """Lines with a paid amount above zero."""
        return self._is_positive("paid_cents")

    @cached
    def cents(self) -> Column:
        """Preliminary amounts in cents: what a line asks for, and what it can lose."""
        return self.numbers("preliminary_cents", 0)

    @cached
    def record(self) -> Ints:
        """Record numbers, from 1, as they are stored (int32)."""
        return np.asarray(self.column("record_number"))

    @cached
    def day(self) -> Column:
        """Service dates as days since 1970-01-01."""
        return self.numbers("service_date", 0)

    @cached
    def year(self) -> Column:
        """Calendar years of the service dates."""
        day = self.day  # a function that held on to `self` would keep the file in memory until the next collection
        return Column(lambda rows: day[rows].view("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970)

    @cached
    def start(self) -> Column:
        """Start times in seconds of the day; -1 where there is none."""
        return self.numbers("start_time", -1)

    @cached
    def end(self) -> Column:
        """End times in seconds of the day; -1 where there is none."""
        return self.numbers("end_time", -1)

    @cached
    def start_order(self) -> Column:
        """Start times to order by: a line without one comes after all others of its day."""
        start = self.start
        return Column(lambda rows: _last_if_none(start[rows]))

    @cached
    def minutes(self) -> Column:
        """Whole minutes from start to end, past midnight if the end is earlier; -1 if either is missing."""
        start, end = self.start, self.end
        return Column(lambda rows: _minutes(start[rows], end[rows]))

    @cached
    def units(self) -> Column:
        """Units; 0 where there are none."""
        return self.numbers("units", 0)

    @cached
    def doctor(self) -> Ints:
        """Which doctor: an index into the column's dictionary."""
        return self.indices("doctor_key")

    @cached
    def patient(self) -> Ints:
        """Which patient: an index into the column's dictionary, -1 for none."""
        return self.indices("patient_key")

    @cached
    def has_patient(self) -> Mask:
        """Lines that name a patient."""
        return self.patient >= 0

    @cached
    def in_cabinet(self) -> Mask:
        """Lines at a place 5xxxx, an office."""
        return self._where("place", lambda place: place.startswith("5"))

    @cached
    def in_establishment(self) -> Mask:
        """Lines at a known place that is no cabinet."""
        return self._where("place", lambda place: place != "" and not place.startswith("5"))

    @cached
    def doctor_day(self) -> tuple[Ints, int]:
        """The number of each line's (doctor, service date), int32 from 0 without gaps, and how many there are."""
        first, last = self.days
        doctor, day, span = self.doctor, self.day, last - first + 1
        keys = Column(lambda rows: doctor[rows] * np.int64(span) + day[rows] - first)
        return dense(keys, len(self), self.size_of("doctor_key") * span)

    @cached
    def days(self) -> tuple[int, int]:
        """The first and the last service date."""
        days, _ = values_of(self.column("service_date"))
        return (int(days.min()), int(days.max())) if len(days) else (0, 0)

    def has_code(self, name: str) -> Mask:
        """Lines whose code is in the set of this name on their day of service."""
        return self._in_set(name, "code", lambda codes: lambda code: code in codes)

    def in_codes(self, codes: frozenset[str]) -> Mask:
        """Lines with one of these codes."""
        return self._where("code", lambda code: code in codes)

    def has_context(self, name: str) -> Mask:
        """Lines with at least one context of the set of this name on their day of service: whole tokens only."""
        return self._in_set(name, "context", lambda tokens: lambda text: not tokens.isdisjoint(text.split(",")))

    def at_place(self, test: Callable[[str], bool]) -> Mask:
        """Lines whose place is known and passes `test`."""
        return self._where("place", test)

    def size_of(self, column: str) -> int:
        """Return how many distinct values a dictionary column has."""
        return len(self.dictionary(column))

    def dictionary(self, column: str) -> pa.Array:
        """Return the distinct values of a dictionary column."""
        return self.column(column).dictionary

    def rows_of(self, records: Ints) -> Ints:
        """Return the rows that have these record numbers; each must be in the table."""
        if self.is_in_order:
            return np.searchsorted(self.record, records.astype(self.record.dtype))
        return self._row_of_record[records]

    @cached
    def is_in_order(self) -> bool:
        """Whether record numbers ascend, as they do in a file."""
        return bool((self.record[1:] > self.record[:-1]).all())

    @cached
    def _row_of_record(self) -> Ints:
        rows = np.full(int(self.record.max(initial=0)) + 1, -1, np.int64)
        rows[self.record] = np.arange(len(self))
        return rows

    def text(self, column: str, rows: Ints) -> pa.Array:
        """Return the text of a dictionary column, or one of texts, in these rows, null where there is none."""
        return arrays.unpack(self.column(column).take(pa.array(rows))).cast(pa.string())

    def is_empty(self, column: str) -> bool:
        """Return whether a column holds nothing in the whole file."""
        array = self.column(column)
        if pa.types.is_dictionary(array.type) and blanks(array.dictionary).any():
            return not bool((self.indices(column) >= 0).any())
        return int(array.null_count) == len(array)

    def _in_set(self, name: str, column: str, test: Callable[[frozenset[str]], Callable[[str], bool]]) -> Mask:
        found = np.zeros(len(self), np.bool_)
        for entry in parameters()[name]:
            values = entry.value if isinstance(entry.value, tuple) else ()
            hits = self._where(column, test(frozenset(values)))
            if entry.valid_from or entry.valid_to:
                hits &= self._on_days(first_day(entry), last_day(entry))
            found |= hits
        return found

    def _where(self, column: str, test: Callable[[str], bool]) -> Mask:
        # One more answer at the end, for the index -1 of a line without a value.
        answers = [bool(value) and test(value) for value in self.dictionary(column).to_pylist()]
        return look_up(np.array([*answers, False], np.bool_), self.indices(column))

    def indices(self, column: str) -> Ints:
        """Return a dictionary column as indices; -1 where a line has no value."""
        with self._indexing:
            if column not in self._index_of:
                self._index_of[column] = indices_of(self.column(column))
            return self._index_of[column]

    def numbers(self, column: str, missing: int) -> Column:
        """Return a column of numbers, days or times, with `missing` where a line has none."""
        values, known = values_of(self.column(column))
        return Column.stored(values, known, missing)

    def _is_positive(self, column: str) -> Mask:
        values, known = values_of(self.column(column))
        return values > 0 if known is None else (values > 0) & known

    def _on_days(self, first: int, last: int) -> Mask:
        days, _ = values_of(self.column("service_date"))
        return (days >= first) & (days <= last)

    def column(self, name: str) -> pa.Array:
        """Return a column as one array."""
        chunks = self._lines.column(name)
        return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def _last_if_none(start: Ints) -> Ints:
    return np.where(start < 0, DAY_SECONDS, start)


def _minutes(start: Ints, end: Ints) -> Ints:
    return np.where((start >= 0) & (end >= 0), (end - start) % DAY_SECONDS // 60, -1)
