"""Lines in groups: arrays of rows that belong together, their order, and the one of each group that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facnet_grpc.rules.table.arrays import Column, Ints, Mask
from facnet_grpc.rules.table.claims import Claims


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows of a table, group by group, ordered within each group.

    `rows` are positions in the table (integers, one for each row of each group); group `g` is
    `rows[starts[g]:starts[g + 1]]`, and `starts` (int64) has one value more than there are groups.
    """

    rows: Ints
    starts: Ints

    @classmethod
    def of(cls, rows: Ints, keys: Sequence[Ints | Column], order: Sequence[Ints | Column]) -> Groups:
        """Group `rows` by `keys` and sort each group by `order`; both hold a value for every line of the table."""
        sort = np.lexsort([column[rows] for column in reversed([*keys, *order])])
        ordered = rows[sort]
        changes = np.zeros(len(ordered), np.bool_)
        changes[:1] = True
        for key in keys:
            values = key[ordered]
            changes[1:] |= values[1:] != values[:-1]
        return cls(ordered, np.append(np.flatnonzero(changes), len(ordered)))

    @classmethod
    def of_sorted(cls, rows: Ints, ids: Ints) -> Groups:
        """Group `rows` by `ids`, the number of each row's group, by which they are sorted."""
        changes = np.ones(len(ids), np.bool_)
        changes[1:] = ids[1:] != ids[:-1]
        return cls(rows, np.append(np.flatnonzero(changes), len(ids)))

    @classmethod
    def single(cls, rows: Ints) -> Groups:
        """Make a group of every row."""
        return cls(rows, np.arange(len(rows) + 1))

    @classmethod
    def empty(cls, count: int) -> Groups:
        """Make `count` groups without rows."""
        return cls(np.zeros(0, np.int64), np.zeros(count + 1, np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Ints:
        """The number of rows of each group: int64, one a group."""
        return np.diff(self.starts)

    @property
    def owner(self) -> Ints:
        """The index of the group of each of `rows`: int64, one a row."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def first(self) -> Ints:
        """The first row of each group, one a group; no group may be empty."""
        return self.rows[self.starts[:-1]]

    def total(self, values: Ints | Mask | Column) -> Ints:
        """Return the sum of `values` (one a line of the table) over the rows of each group: int64, one a group."""
        sums = np.concatenate([[0], np.cumsum(values[self.rows], dtype=np.int64)])
        totals: Ints = sums[self.starts[1:]] - sums[self.starts[:-1]]
        return totals

    def filter(self, keep: Mask) -> Groups:
        """Return the groups for which `keep` (one value per group) holds."""
        sizes = self.sizes[keep]
        return Groups(self.rows[np.repeat(keep, self.sizes)], np.concatenate([[0], np.cumsum(sizes)]))

    def filter_rows(self, keep: Mask) -> Groups:
        """Return all groups, with those of their rows for which `keep` (one value per `rows`) holds."""
        sizes = np.bincount(self.owner[keep], minlength=len(self))
        return Groups(self.rows[keep], np.concatenate([[0], np.cumsum(sizes)]))

    def with_first(self, first: Mask) -> Groups:
        """Return the same groups, in each the rows for which `first` (one value per `rows`) holds before the others."""
        order = np.lexsort([np.arange(len(self.rows)), ~first, self.owner])
        return Groups(self.rows[order], self.starts)

    @property
    def positions(self) -> Ints:
        """The position of each of `rows` within its group, from 0: int64, one a row."""
        return np.arange(len(self.rows)) - self.starts[self.owner]


@dataclass(frozen=True, slots=True)
class OneKept:
    """Groups of which one line is kept.

    `surplus` has the other lines of each group; `affected` has all lines, the first surplus one first.
    """

    kept: Ints  # a row of each group
    affected: Groups
    surplus: Groups


def keep_one(claims: Claims, groups: Groups) -> OneKept:
    """Keep the first paid line of each group, or its first line if none is paid."""
    position = np.arange(len(groups.rows))
    unpaid = ~claims.paid[groups.rows]
    # The smallest position wins; an unpaid line comes after all paid ones.
    rank = position + np.where(unpaid, len(position), 0)
    kept = np.zeros(len(position), np.bool_)
    if len(groups):
        kept[np.minimum.reduceat(rank, groups.starts[:-1]) % max(len(position), 1)] = True
    surplus_sizes = np.bincount(groups.owner[~kept], minlength=len(groups))
    surplus = Groups(groups.rows[~kept], np.concatenate([[0], np.cumsum(surplus_sizes)]))
    # Only a kept line at the very beginning stands before the first surplus line: it moves one down.
    order = position.copy()
    moves = groups.starts[:-1][kept[groups.starts[:-1]] & (groups.sizes > 1)]
    order[moves], order[moves + 1] = moves + 1, moves
    return OneKept(groups.rows[kept], Groups(groups.rows[order], groups.starts), surplus)
