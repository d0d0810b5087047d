"""How long between two acts: `min_interval`, `max_count_window`, `min_count_relation`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from facnet_grpc.rules.checks import days_off
from facnet_grpc.rules.checks.claim_table import months_between
from facnet_grpc.rules.checks.grouping import GroupedRows, chronological
from facnet_grpc.rules.checks.primitives.base import CheckTest, Codes, Evaluate, Evaluation, Group, Matches, Whole
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.groups import Groups


def min_interval(evaluation: Evaluation[_Interval]) -> Matches:
    """Find lines that come too soon after the line before them in their group (of their codes or of `after`)."""
    table, test = evaluation.table, evaluation.test
    if not len(evaluation.rows):
        return Matches.none()
    own = np.zeros(len(table.claims), np.bool_)
    own[evaluation.rows] = True
    others = evaluation.narrow(table.with_codes(test.after)) if test.after else evaluation.rows
    grouped = GroupedRows.of(table, np.union1d(evaluation.rows, others), evaluation.test.group)
    groups = chronological(table, grouped.rows, grouped.ids)
    earlier, later = _neighbours(groups)
    gap = _gap(table.claims.day[earlier], table.claims.day[later], months=test.months is not None)
    close = own[later] & (gap < (test.months or test.days or 0))
    if test.distinct:
        close &= table.index("doctor_key")[earlier] != table.index("doctor_key")[later]
    if test.other:
        close &= days_off.week(table.claims.day[earlier]) != days_off.week(table.claims.day[later])
    return _pairs(evaluation, earlier[close], later[close], gap[close], int(own[grouped.rows].sum()))


def _neighbours(groups: Groups) -> tuple[Ints, Ints]:
    same = np.diff(groups.owner) == 0
    return groups.rows[:-1][same], groups.rows[1:][same]


def _gap(earlier: Ints, later: Ints, *, months: bool) -> Ints:
    return months_between(earlier, later) if months else later - earlier


def _pairs(evaluation: Evaluation[_Interval], earlier: Ints, later: Ints, gap: Ints, examined: int) -> Matches:
    rows = np.stack([later, earlier], axis=1).ravel()
    return Matches(
        affected=Groups(rows, np.arange(len(later) + 1) * 2),
        examined=examined,
        risk=Groups.single(later),
        facts={"gap": gap, "required": evaluation.test.months or evaluation.test.days or 0},
    )


def min_count_relation(evaluation: Evaluation[MinCountRelation]) -> Matches:
    """Find lines without one of `after` in the days before them; or, `repeated`, the second since the last of it.

    A line so early in the file that the earlier act could lie before it is left out.
    """
    table, test = evaluation.table, evaluation.test
    procedures = table.with_codes(test.after)
    grouped = GroupedRows.of(table, np.concatenate([evaluation.rows, procedures]), evaluation.test.group)
    if not len(grouped.rows):
        return Matches.none()
    is_own = np.isin(grouped.rows, evaluation.rows)
    order = np.lexsort([table.claims.record[grouped.rows], is_own, table.claims.day[grouped.rows], grouped.ids])
    rows, ids, is_own = grouped.rows[order], grouped.ids[order], is_own[order]
    last = _last_procedure(ids, is_own)
    days = table.claims.day[rows]
    near = (last >= 0) & (days - days[last] <= test.days)
    if test.look_for == "missing":
        in_reach = days - test.days >= table.claims.day[table.billed].min()
        found = is_own & ~near & in_reach
    else:
        found = is_own & near & _repeated(ids, is_own, last)
    return Matches.of_lines(rows[found], int(is_own.sum()), facts={"days": test.days})


def _last_procedure(ids: Ints, is_own: Mask) -> Ints:
    """Return the position of the latest procedure of the group at or before each position, -1 if there is none."""
    position = np.arange(len(ids))
    last = np.maximum.accumulate(np.where(is_own, -1, position))
    return np.where((last >= 0) & (ids[last] == ids), last, -1)


def _repeated(ids: Ints, is_own: Mask, last: Ints) -> Mask:
    again = np.zeros(len(ids), np.bool_)
    again[1:] = is_own[1:] & is_own[:-1] & (last[1:] == last[:-1]) & (ids[1:] == ids[:-1])
    return again


class _Interval(CheckTest):
    facts = ("gap", "required")
    alternatives = (("months", "days"),)
    evaluate: ClassVar[Evaluate] = staticmethod(min_interval)

    group: Group
    months: Whole | None = None
    days: Whole | None = None
    after: Codes = frozenset()
    distinct: Literal["", "doctor"] = ""
    other: Literal["", "week"] = ""


class MinInterval(_Interval):
    """At least `months` or `days` after the line before it in the group, of the test's codes or of `after`."""

    primitive: Literal["min_interval"]


class MaxCountWindow(_Interval):
    """No two lines of a group within `months` or `days`; only of `distinct` doctors, or of two weeks (`other`)."""

    primitive: Literal["max_count_window"]


class MinCountRelation(CheckTest):
    """Within `days` of one of `after` in the group; `look_for` what is missing or repeated."""

    facts = ("days",)
    evaluate: ClassVar[Evaluate] = staticmethod(min_count_relation)

    primitive: Literal["min_count_relation"]
    group: Group
    after: Codes
    days: Whole
    look_for: Literal["missing", "repeated"] = "missing"


PRIMITIVES = (MinInterval, MaxCountWindow, MinCountRelation)
