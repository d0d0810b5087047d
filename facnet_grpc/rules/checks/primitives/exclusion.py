"""What may not be billed together: `mutual_exclusion`, `place_exclusion`, `surgery_exclusion`, `role_exclusion`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import (
    SESSION,
    SESSION_GAP_MINUTES,
    Keyed,
    Sessions,
    chronological,
    part_of,
    session_keys,
)
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work, join
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups


def mutual_exclusion(work: Work) -> Hits:
    """Find groups that have a line of `a` and one of `b`; the lines of `a` are at risk."""
    pairs = work.params["pairs"] or ((work.params["a"], work.params["b"] or None),)
    return join([exclude(work, *sides(work, first, second)) for first, second in pairs])


def tabs_exclusion(work: Work) -> Hits:
    """Find lines of `a` beside an act of one of the reference's tabs with a tariff above an amount."""
    if not work.reference.codes:
        return Hits.lacks("codes")
    limit, tabs = work.params["tariff_above_cents"], set(work.params["tabs"])
    codes = frozenset(
        code
        for code in work.sheet.texts("code")  # those of the file: the reference has thousands
        if any(entry.tab in tabs and (entry.tariff_cents or 0) > limit for entry in work.reference.codes.get(code, ()))
    )
    return exclude(work, *sides(work, work.params["a"], codes - work.params["a"]))


def sides(work: Work, first: frozenset[str], second: frozenset[str] | None) -> tuple[Ints, Ints]:
    """Return the lines of `first`, and those of `second` or, without it, of anything that is not allowed."""
    sheet = work.sheet
    rows_a = work.narrow(sheet.with_codes(first))
    if not len(rows_a):
        return rows_a, rows_a
    if second is not None:
        return rows_a, work.narrow(sheet.with_codes(second))
    # Anything else: only lines of the patients in question can matter.
    candidates = sheet.billed
    if "patient" in work.group:
        patients = np.zeros(sheet.claims.size_of("patient_key") + 1, np.bool_)
        patients[sheet.index("patient_key")[rows_a]] = True
        candidates = candidates[patients[sheet.index("patient_key")[candidates]]]
    allowed = first | work.params["except"]
    return rows_a, work.narrow(candidates[~sheet.where("code", allowed.__contains__)[candidates]])


def exclude(work: Work, rows_a: Ints, rows_b: Ints) -> Hits:
    """Return the groups that have one of `rows_a` and one of `rows_b`."""
    if not len(rows_a) or not len(rows_b):
        return Hits.none(len(rows_a))
    rows = np.concatenate([rows_a, rows_b])
    if work.group[-1] != SESSION:
        keyed = Keyed.of(work.sheet, rows, work.group)
        return _together(work, keyed, np.isin(keyed.rows, rows_a), milder=False)
    keyed = session_keys(work.sheet, rows, work.group[:-1])
    return _same_session(work, keyed, np.isin(keyed.rows, rows_a))


def _same_session(work: Work, keyed: Keyed, is_a: Mask) -> Hits:
    """Judge by the clock where lines have one; where one of a pair has none, by the day and one severity lower."""
    timed = work.sheet.claims.start[keyed.rows] >= 0
    sessions = Sessions.of(work.sheet, keyed.rows[timed], keyed.ids[timed], work.params["gap_minutes"])
    by_clock = Keyed(sessions.groups.rows, sessions.groups.owner, len(sessions.groups))
    a_rows = keyed.rows[is_a]
    sure = _together(work, by_clock, np.isin(by_clock.rows, a_rows), milder=False)
    has = {
        (side, clock): np.bincount(keyed.ids[(is_a == side) & (timed == clock)], minlength=keyed.count) > 0
        for side in (True, False)
        for clock in (True, False)
    }
    any_a, any_b = has[True, True] | has[True, False], has[False, True] | has[False, False]
    unsure = (has[True, False] & any_b) | (any_a & has[False, False])
    unsure[keyed.ids[np.isin(keyed.rows, sure.affected.rows)]] = False
    maybe = keyed.only(unsure)
    doubtful = _together(work, maybe, np.isin(maybe.rows, a_rows), milder=True)
    found = join([sure, doubtful])
    return replace(found, seen=_seen(a_rows, found.risk, len(found)))


def _together(work: Work, keyed: Keyed, is_a: Mask, *, milder: bool) -> Hits:
    sheet = work.sheet
    all_a = keyed.rows[is_a]
    has_a = np.bincount(keyed.ids[is_a], minlength=keyed.count) > 0
    has_b = np.bincount(keyed.ids[~is_a], minlength=keyed.count) > 0
    both = (has_a & has_b)[keyed.ids]
    rows, ids, is_a = keyed.rows[both], keyed.ids[both], is_a[both]
    if work.params.get("order") == "b_first":
        rows, ids, is_a = _b_first(work, rows, ids, is_a, keyed.count)
    if not len(rows):
        return Hits.none(len(all_a))
    groups = chronological(sheet, rows, ids, (~is_a).astype(np.int64))
    a_rows = np.isin(groups.rows, rows[is_a])
    partners = part_of(groups, ~a_rows)
    lower = np.full(len(groups), milder)
    if work.params.get("paid_decides"):
        lower |= partners.total(sheet.claims.paid) == 0
    risk = part_of(groups, a_rows)
    return Hits(
        affected=groups,
        seen=_seen(all_a, risk, len(groups)),
        risk=risk,
        facts={"other_code": sheet.text("code", partners.first)},
        milder=lower,
    )


def _seen(a_rows: Ints, risk: Groups | None, hits: int) -> int:
    """Return how many things were looked at, so that what passes are the lines of `a` that are not affected."""
    return len(a_rows) - (len(risk.rows) if risk else 0) + hits


def _b_first(work: Work, rows: Ints, ids: Ints, is_a: Mask, count: int) -> tuple[Ints, Ints, Mask]:
    """Keep lines of `a` on or after the day of the group's first line of `b`, and groups that still have one."""
    days = work.sheet.claims.day[rows]
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, ids[~is_a], days[~is_a])
    kept = ~is_a | (days >= first[ids])
    still = np.bincount(ids[is_a & kept], minlength=count) > 0
    kept &= still[ids]
    return rows[kept], ids[kept], is_a[kept]


def role_exclusion(work: Work) -> Hits:
    """Find groups in which two roles are billed at the same time; the lines of the other one are at risk."""
    sheet = work.sheet
    first, second = (_in_role(sheet, work.params[name]) for name in ("role", "other_role"))
    if not first.any() or not second.any():
        return Hits.none(len(work.rows))
    rows = work.rows[first[work.rows] | second[work.rows]]
    keyed = Keyed.of(sheet, rows, tuple(part for part in work.group if part != SESSION))
    timed = sheet.claims.start[keyed.rows] >= 0
    sessions = Sessions.of(sheet, keyed.rows[timed], keyed.ids[timed], 0)
    by_clock = Keyed(sessions.groups.rows, sessions.groups.owner, len(sessions.groups))
    sure = _together(work, by_clock, second[by_clock.rows], milder=False)
    rest = Keyed(keyed.rows[~timed], keyed.ids[~timed], keyed.count)
    doubtful = _together(work, rest, second[rest.rows], milder=True)
    return join([sure, doubtful])


def _in_role(sheet: ClaimTable, role: str) -> Mask:
    return sheet.where("role", lambda text: text.lstrip("0") == role)


_EXCLUSION = {
    "a": Field("codes", default=frozenset()),
    "b": Field("codes", default=frozenset()),
    "pairs": Field("pairs", default=()),
    "except": Field("codes", default=frozenset()),
    "order": Field("choice", default="", choices=("b_first",)),
    "paid_decides": Field("bool", default=False),
}
PRIMITIVES = (
    Primitive(
        name="mutual_exclusion",
        run=mutual_exclusion,
        doc="`a` and `b` (anything but `except` if there is no `b`) not in one group; or each of several `pairs`.",
        fields={**_EXCLUSION, "gap_minutes": Field("int", default=SESSION_GAP_MINUTES)},
        facts=("other_code",),
        groups=None,
        either=(("a", "pairs"),),
        sessions=True,
        reads_all=True,
    ),
    Primitive(
        name="place_exclusion",
        run=mutual_exclusion,
        doc="Like `mutual_exclusion`, at the `places` of the test only.",
        fields=_EXCLUSION,
        facts=("other_code",),
        groups=None,
        either=(("a", "pairs"), ("places",)),
        reads_all=True,
    ),
    Primitive(
        name="surgery_exclusion",
        run=tabs_exclusion,
        doc="`a` not in one group with an act of the manual's `tabs` whose tariff is above `tariff_above_cents`.",
        fields={
            "a": Field("codes", required=True),
            "tabs": Field("texts", required=True),
            "tariff_above_cents": Field("int", required=True),
        },
        facts=("other_code",),
        groups=None,
        reads_all=True,
    ),
    Primitive(
        name="role_exclusion",
        run=role_exclusion,
        doc="A line in `other_role` not at the same time as one in `role`, in one group.",
        fields={"role": Field("text", required=True), "other_role": Field("text", required=True)},
        needs=lambda _: ("role",),
        facts=("other_code",),
        groups=None,
        sessions=True,
    ),
)
