"""How long between two acts: `min_interval`, `max_count_window`, `min_count_relation`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facnet_grpc.rules.checks import calendar
from facnet_grpc.rules.checks.claim_table import months_between
from facnet_grpc.rules.checks.grouping import Keyed, chronological
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups


def min_interval(work: Work) -> Hits:
    """Find lines that come too soon after the line before them in their group (of their codes or of `after`)."""
    sheet, params = work.sheet, work.params
    if not len(work.rows):
        return Hits.none()
    own = np.zeros(len(sheet.claims), np.bool_)
    own[work.rows] = True
    others = work.narrow(sheet.with_codes(params["after"])) if params["after"] else work.rows
    keyed = Keyed.of(sheet, np.union1d(work.rows, others), work.group)
    groups = chronological(sheet, keyed.rows, keyed.ids)
    earlier, later = _neighbours(groups)
    gap = _gap(sheet.claims.day[earlier], sheet.claims.day[later], months=params["months"] is not None)
    close = own[later] & (gap < (params["months"] or params["days"]))
    if params["distinct"]:
        close &= sheet.index("doctor_key")[earlier] != sheet.index("doctor_key")[later]
    if params["other"]:
        close &= calendar.week(sheet.claims.day[earlier]) != calendar.week(sheet.claims.day[later])
    return _pairs(work, earlier[close], later[close], gap[close], int(own[keyed.rows].sum()))


def _neighbours(groups: Groups) -> tuple[Ints, Ints]:
    same = np.diff(groups.owner) == 0
    return groups.rows[:-1][same], groups.rows[1:][same]


def _gap(earlier: Ints, later: Ints, *, months: bool) -> Ints:
    return months_between(earlier, later) if months else later - earlier


def _pairs(work: Work, earlier: Ints, later: Ints, gap: Ints, seen: int) -> Hits:
    rows = np.stack([later, earlier], axis=1).ravel()
    return Hits(
        affected=Groups(rows, np.arange(len(later) + 1) * 2),
        seen=seen,
        risk=Groups.single(later),
        facts={"gap": gap, "required": work.params["months"] or work.params["days"]},
    )


def min_count_relation(work: Work) -> Hits:
    """Find lines without one of `after` in the days before them; or, `repeated`, the second since the last of it.

    A line so early in the file that the earlier act could lie before it is left out.
    """
    sheet, params = work.sheet, work.params
    procedures = sheet.with_codes(params["after"])
    keyed = Keyed.of(sheet, np.concatenate([work.rows, procedures]), work.group)
    if not len(keyed.rows):
        return Hits.none()
    is_own = np.isin(keyed.rows, work.rows)
    order = np.lexsort([sheet.claims.record[keyed.rows], is_own, sheet.claims.day[keyed.rows], keyed.ids])
    rows, ids, is_own = keyed.rows[order], keyed.ids[order], is_own[order]
    last = _last_procedure(ids, is_own)
    days = sheet.claims.day[rows]
    near = (last >= 0) & (days - days[last] <= params["days"])
    if params["look_for"] == "missing":
        in_reach = days - params["days"] >= sheet.claims.day[sheet.billed].min()
        found = is_own & ~near & in_reach
    else:
        found = is_own & near & _repeated(ids, is_own, last)
    return Hits.lines(rows[found], int(is_own.sum()), facts={"days": params["days"]})


def _last_procedure(ids: Ints, is_own: Mask) -> Ints:
    """Return the position of the latest procedure of the group at or before each position, -1 if there is none."""
    position = np.arange(len(ids))
    last = np.maximum.accumulate(np.where(is_own, -1, position))
    return np.where((last >= 0) & (ids[last] == ids), last, -1)


def _repeated(ids: Ints, is_own: Mask, last: Ints) -> Mask:
    again = np.zeros(len(ids), np.bool_)
    again[1:] = is_own[1:] & is_own[:-1] & (last[1:] == last[:-1]) & (ids[1:] == ids[:-1])
    return again


_MIN_INTERVAL = Primitive(
    name="min_interval",
    run=min_interval,
    doc="At least `months` or `days` after the line before it in the group, of the test's codes or of `after`.",
    fields={
        "months": Field("int"),
        "days": Field("int"),
        "after": Field("codes", default=frozenset()),
        "distinct": Field("choice", default="", choices=("doctor",)),
        "other": Field("choice", default="", choices=("week",)),
    },
    facts=("gap", "required"),
    groups=None,
    either=(("months", "days"),),
)
PRIMITIVES = (
    _MIN_INTERVAL,
    replace(
        _MIN_INTERVAL,
        name="max_count_window",
        doc="No two lines of a group within `months` or `days`; only of `distinct` doctors, or of two weeks (`other`).",
    ),
    Primitive(
        name="min_count_relation",
        run=min_count_relation,
        doc="Within `days` of one of `after` in the group; `look_for` what is missing or repeated.",
        fields={
            "after": Field("codes", required=True),
            "days": Field("int", required=True),
            "look_for": Field("choice", default="missing", choices=("missing", "repeated")),
        },
        facts=("days",),
        groups=None,
    ),
)
