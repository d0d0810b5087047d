"""Which lines belong together: groups by doctor, patient, day and so on, and sessions by the clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.rules.checks import days_off
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.table.arrays import Column, Ints, Mask, number
from facnet_grpc.rules.table.groups import Groups

# What a group may be made of, and the column that a line must have to be in one.
PARTS = {
    "line": None,
    "doctor": "doctor_key",
    "patient": "patient_key",
    "place": "place",
    "code": "code",
    "role": None,  # a line without a role is one without a role
    "context": "context",
    "day": "service_date",
    "week": "service_date",
    "quarter": "service_date",
    "year": "service_date",
    "invoice": "invoice",
}
SESSION = "session"
SESSION_GAP_MINUTES = 15
OTHER_SESSION = "85"  # context: séance différente
_ROOM = 1 << 62


@dataclass(frozen=True, slots=True)
class GroupedRows:
    """Rows with the number of the group that each is in, from 0 to `count` - 1."""

    rows: Ints
    ids: Ints
    count: int

    @classmethod
    def of(cls, table: ClaimTable, rows: Ints, group: tuple[str, ...]) -> GroupedRows:
        """Group the rows that have all that the group is made of."""
        columns = {column for part in group if (column := PARTS[part])} - {"service_date"}
        rows = table.where_known(rows, sorted(columns))
        ids, count = number(combine(_part(table, rows, part) for part in group))
        return cls(rows, ids, count)

    def sizes(self, counted: Mask | None = None) -> Ints:
        """Return how many rows each group has, or how many of those in `counted`."""
        ids = self.ids if counted is None else self.ids[counted]
        return np.bincount(ids, minlength=self.count)

    def filter(self, groups: Mask) -> GroupedRows:
        """Return the rows of the groups in `groups`, under the same numbers."""
        kept = groups[self.ids]
        return GroupedRows(self.rows[kept], self.ids[kept], self.count)


def combine(columns: Iterable[Ints]) -> Ints:
    """Make one number of several columns, equal where all of them are. They need not be there at the same time."""
    total, bound = np.zeros(1, np.int64), 1
    for column in columns:
        least = int(column.min(initial=0))
        span = int(column.max(initial=0)) - least + 1
        if bound * span > _ROOM:
            numbers, bound = number(total)
            total = numbers.astype(np.int64)
        total *= span
        shifted = np.subtract(column, least, dtype=np.int64)
        shifted += total
        total, bound = shifted, bound * span
    return total


def _part(table: ClaimTable, rows: Ints, part: str) -> Ints:
    claims = table.claims
    if part == "invoice":
        return table.invoices(rows)
    if part in ("doctor", "patient"):
        return table.index(f"{part}_key")[rows]
    if part in ("place", "code", "role", "context"):
        return table.index(part)[rows]
    if part == "week":
        return days_off.week(claims.day[rows])
    if part == "quarter":
        return table.month[rows] // 3
    column = {"line": Column.stored(claims.record), "day": claims.day, "year": claims.year}[part]
    return column[rows]


def chronological(table: ClaimTable, rows: Ints, ids: Ints, *first: Ints) -> Groups:
    """Return rows group by group (each number in `ids` is one), in order of `first`, day, start, record number."""
    claims = table.claims
    order = np.lexsort([claims.record[rows], claims.start_order[rows], claims.day[rows], *reversed(first), ids])
    return Groups.of_sorted(rows[order], ids[order])


@dataclass(frozen=True, slots=True)
class Sessions:
    """Lines of one group (such as a doctor, patient and day) that overlap or adjoin in time.

    Rows are sorted by group, then start. `start` and `end` are seconds of the day, past 86,400 after midnight.
    """

    groups: Groups  # one a session
    start: Ints
    end: Ints

    @classmethod
    def of(cls, table: ClaimTable, rows: Ints, ids: Ints, gap_minutes: int = SESSION_GAP_MINUTES) -> Sessions:
        """Make sessions of rows that have a start; one without an end lasts no time."""
        order = np.lexsort([table.claims.record[rows], table.claims.start[rows], ids])
        rows, ids = rows[order], ids[order]
        start, end = interval(table, rows)
        reach = running_end(ids, end)
        changes = np.ones(len(rows), np.bool_)
        changes[1:] = (ids[1:] != ids[:-1]) | (start[1:] > reach[:-1] + gap_minutes * 60)
        groups = Groups(rows, np.append(np.flatnonzero(changes), len(rows)))
        firsts = groups.starts[:-1]
        lasts = groups.starts[1:] - 1
        return cls(groups, start[firsts], reach[lasts])

    def filter(self, keep: Mask) -> Sessions:
        """Return only the sessions for which `keep` holds."""
        return Sessions(self.groups.filter(keep), self.start[keep], self.end[keep])

    @property
    def minutes(self) -> Ints:
        """Whole minutes from the first start to the last end."""
        return (self.end - self.start) // 60


def interval(table: ClaimTable, rows: Ints) -> tuple[Ints, Ints]:
    """Return start and end of lines that have a start, in seconds of the day; an earlier end is the next day's."""
    start, end = table.claims.start[rows], table.claims.end[rows]
    end = np.where(end < 0, start, end)
    return start, np.where(end < start, end + DAY_SECONDS, end)


def running_end(ids: Ints, end: Ints) -> Ints:
    """Return, for rows sorted by group and start, the latest end of their group so far."""
    changes = np.zeros(len(ids), np.int64)
    changes[1:] = ids[1:] != ids[:-1]
    lift = np.cumsum(changes) * (4 * DAY_SECONDS)
    reach: Ints = np.maximum.accumulate(end + lift) - lift if len(ids) else end
    return reach


def session_keys(table: ClaimTable, rows: Ints, group: tuple[str, ...]) -> GroupedRows:
    """Group rows by doctor, patient and so on; lines of another session by their context stand apart."""
    grouped = GroupedRows.of(table, rows, group)
    other = table.where("context", lambda text: OTHER_SESSION in text.split(","))[grouped.rows]
    ids, count = number(grouped.ids * np.int64(2) + other)
    return GroupedRows(grouped.rows, ids, count)
