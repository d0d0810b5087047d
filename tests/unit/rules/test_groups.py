"""Groups of lines, and which line of a group stands."""

from __future__ import annotations

import numpy as np

from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.groups import Groups, keep_one
from tests.rules.tables import lines


def grouped(*sizes):
    rows = np.arange(sum(sizes))
    return Groups(rows, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]))


def as_lists(groups):
    return [groups.rows[first:end].tolist() for first, end in zip(groups.starts[:-1], groups.starts[1:], strict=True)]


def test_groups_are_sorted_by_key_and_within_by_order():
    key, order = np.array([2, 1, 2, 1, 9]), np.array([5, 4, 3, 2, 1])
    assert as_lists(Groups.of(np.array([0, 1, 2, 3]), [key], [order])) == [[3, 1], [2, 0]]
    assert as_lists(Groups.of(np.arange(0), [key], [order])) == []


def test_several_keys_make_one_group_each():
    one, two = np.array([1, 1, 2, 1]), np.array([1, 2, 1, 1])
    assert as_lists(Groups.of(np.arange(4), [one, two], [np.arange(4)])) == [[0, 3], [1], [2]]


def test_totals_and_choices():
    groups = grouped(2, 0, 3)
    assert groups.total(np.array([1, 2, 3, 4, 5])).tolist() == [3, 0, 12]
    assert groups.sizes.tolist() == [2, 0, 3]
    assert groups.owner.tolist() == [0, 0, 2, 2, 2]
    assert as_lists(groups.filter(np.array([False, True, True]))) == [[], [2, 3, 4]]
    assert as_lists(groups.filter_rows(np.array([True, False, False, True, True]))) == [[0], [], [3, 4]]


def kept(*paid, sizes):
    claims = Claims(lines({"paid_cents": 1 if is_paid else 0} for is_paid in paid))
    one = keep_one(claims, grouped(*sizes))
    return one.kept.tolist(), as_lists(one.affected), as_lists(one.surplus)


def test_the_first_paid_line_stands_and_the_first_other_one_is_named_first():
    assert kept(False, True, True, sizes=[3]) == ([1], [[0, 1, 2]], [[0, 2]])
    assert kept(True, False, True, sizes=[3]) == ([0], [[1, 0, 2]], [[1, 2]])
    assert kept(False, False, False, sizes=[3]) == ([0], [[1, 0, 2]], [[1, 2]])
    assert kept(False, False, False, True, sizes=[2, 2]) == ([0, 3], [[1, 0], [2, 3]], [[1], [2]])


def test_a_line_alone_stands():
    assert kept(False, sizes=[1]) == ([0], [[0]], [[]])
    assert kept(sizes=[]) == ([], [], [])
