"""What may not be billed together, and what only together: `mutual_exclusion`, `requires_companion` and kin."""

from __future__ import annotations

import numpy as np

from facnet_grpc.rules.declarative.grouping import (
    SESSION,
    SESSION_GAP_MINUTES,
    Keyed,
    Sessions,
    chronological,
    number,
    part_of,
    session_keys,
)
from facnet_grpc.rules.declarative.primitives.base import Field, Hits, Params, Primitive, Work, join
from facnet_grpc.rules.declarative.sheet import Sheet
from facnet_grpc.rules.groups import Groups
from facnet_grpc.rules.vocabulary import Ints, Mask

_ODD = "13579"


def mutual_exclusion(work: Work) -> Hits:
    """Find groups that have a line of `a` and one of `b`; the lines of `a` are at risk."""
    pairs = work.params["pairs"] or ((work.params["a"], work.params["b"]),)
    return join([_exclude(work, *_sides(work, first, second)) for first, second in pairs])


def tabs_exclusion(work: Work) -> Hits:
    """Find lines of `a` beside an act of one of the reference's tabs with a tariff above an amount."""
    if not work.reference.codes:
        return Hits.lacks("codes")
    limit, tabs = work.params["tariff_above_cents"], set(work.params["tabs"])
    codes = frozenset(
        code
        for code, entries in work.reference.codes.items()
        if any(entry.tab in tabs and (entry.tariff_cents or 0) > limit for entry in entries)
    )
    return _exclude(work, *_sides(work, work.params["a"], codes - work.params["a"]))


def _sides(work: Work, first: frozenset[str], second: frozenset[str] | None) -> tuple[Ints, Ints]:
    sheet = work.sheet
    rows_a = work.narrow(sheet.with_codes(first))
    if not len(rows_a):
        return rows_a, rows_a
    if second:
        return rows_a, work.narrow(sheet.with_codes(second))
    # Anything else: only lines of the patients in question can matter.
    candidates = sheet.billed
    if "patient" in work.group:
        patients = np.zeros(len(sheet.texts("patient_key")) + 1, np.bool_)
        patients[sheet.index("patient_key")[rows_a]] = True
        candidates = candidates[patients[sheet.index("patient_key")[candidates]]]
    allowed = first | work.params["except"]
    return rows_a, work.narrow(candidates[~sheet.where("code", allowed.__contains__)[candidates]])


def _exclude(work: Work, rows_a: Ints, rows_b: Ints) -> Hits:
    if not len(rows_a):
        return Hits.none()
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
    seen = int((any_a).sum())
    return Hits(found.affected, seen, risk=found.risk, facts=found.facts, milder=found.milder)


def _together(work: Work, keyed: Keyed, is_a: Mask, *, milder: bool) -> Hits:
    sheet = work.sheet
    has_a = np.bincount(keyed.ids[is_a], minlength=keyed.count) > 0
    seen = int(has_a.sum())
    has_b = np.bincount(keyed.ids[~is_a], minlength=keyed.count) > 0
    both = (has_a & has_b)[keyed.ids]
    rows, ids, is_a = keyed.rows[both], keyed.ids[both], is_a[both]
    if work.params["order"] == "b_first":
        rows, ids, is_a = _b_first(work, rows, ids, is_a, keyed.count)
    if not len(rows):
        return Hits.none(seen)
    groups = chronological(sheet, rows, ids, (~is_a).astype(np.int64))
    a_rows = np.isin(groups.rows, rows[is_a])
    partners = part_of(groups, ~a_rows)
    lower = np.full(len(groups), milder)
    if work.params["paid_decides"]:
        lower |= partners.total(sheet.claims.paid) == 0
    return Hits(
        affected=groups,
        seen=seen,
        risk=part_of(groups, a_rows),
        facts={"other_code": sheet.text("code", partners.first)},
        milder=lower,
    )


def _b_first(work: Work, rows: Ints, ids: Ints, is_a: Mask, count: int) -> tuple[Ints, Ints, Mask]:
    """Keep lines of `a` on or after the day of the group's first line of `b`, and groups that still have one."""
    days = work.sheet.claims.day[rows]
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, ids[~is_a], days[~is_a])
    kept = ~is_a | (days >= first[ids])
    still = np.bincount(ids[is_a & kept], minlength=count) > 0
    kept &= still[ids]
    return rows[kept], ids[kept], is_a[kept]


def requires_companion(work: Work) -> Hits:
    """Find lines whose group has none of the codes that they may only be billed with."""
    table: dict[str, frozenset[str]] = work.params["companions"]
    parts = [_lonely(work, code, companions) for code, companions in table.items()]
    return join(parts)


def _lonely(work: Work, code: str, companions: frozenset[str]) -> Hits:
    own = work.narrow(work.sheet.with_codes(frozenset([code])))
    if not len(own):
        return Hits.none()
    others = work.sheet.with_codes(companions)
    keyed = Keyed.of(work.sheet, np.concatenate([own, others]), work.group)
    is_own = np.isin(keyed.rows, own)
    accompanied = np.bincount(keyed.ids[~is_own], minlength=keyed.count) > 0
    rows = keyed.rows[is_own]
    lonely = rows[~accompanied[keyed.ids[is_own]]]
    wanted = ", ".join(sorted(companions))
    return Hits.lines(lonely, len(rows), facts={"required_codes": wanted})


def role_exclusion(work: Work) -> Hits:
    """Find groups in which two roles are billed at the same time; the later role of the list is at risk."""
    sheet = work.sheet
    first, second = (_in_role(sheet, role) for role in work.params["roles_apart"])
    rows = work.rows[first[work.rows] | second[work.rows]]
    keyed = Keyed.of(sheet, rows, work.group[:-1])
    timed = sheet.claims.start[keyed.rows] >= 0
    sessions = Sessions.of(sheet, keyed.rows[timed], keyed.ids[timed], 0)
    by_clock = Keyed(sessions.groups.rows, sessions.groups.owner, len(sessions.groups))
    sure = _together(work, by_clock, second[by_clock.rows], milder=False)
    rest = Keyed(keyed.rows[~timed], keyed.ids[~timed], keyed.count)
    doubtful = _together(work, rest, second[rest.rows], milder=True)
    return join([sure, doubtful])


def _in_role(sheet: Sheet, role: str) -> Mask:
    return sheet.where("role", lambda text: text.lstrip("0") == role)


def requires_context(work: Work) -> Hits:
    """Find groups of several lines of which more than one lacks a context."""
    keyed = Keyed.of(work.sheet, work.rows, work.group)
    marked = work.sheet.where("context", lambda text: work.params["token"] in text.split(","))
    bare = keyed.sizes(~marked[keyed.rows])
    several = keyed.only(bare > 1)
    groups = chronological(work.sheet, several.rows, several.ids)
    lacking = ~marked[groups.rows]
    surplus = lacking & (_rank_among(groups, lacking) > 0)
    order = np.lexsort([np.arange(len(groups.rows)), ~surplus, groups.owner])
    return Hits(
        affected=Groups(groups.rows[order], groups.starts),
        seen=int((keyed.sizes() > 1).sum()),
        risk=part_of(groups, surplus),
        facts={"count": groups.sizes, "context": work.params["token"]},
    )


def _rank_among(groups: Groups, chosen: Mask) -> Ints:
    running: Ints = np.cumsum(chosen) - chosen
    before: Ints = running - running[groups.starts[:-1]][groups.owner]
    return before


def distinct_invoice(work: Work) -> Hits:
    """Find codes on one invoice that have to be on separate ones."""
    if work.params["apart"] == "lines":
        keyed = Keyed.of(work.sheet, work.rows, work.group)
        several = keyed.only(keyed.sizes() > 1)
        groups = chronological(work.sheet, several.rows, several.ids)
        later = np.arange(len(groups.rows)) > groups.starts[:-1][groups.owner]
        order = np.lexsort([np.arange(len(groups.rows)), ~later, groups.owner])
        return Hits(Groups(groups.rows[order], groups.starts), keyed.count, risk=part_of(groups, later))
    rows_a, rows_b = _sides(work, work.params["a"], work.params["b"])
    found = _exclude(work, rows_a, rows_b)
    return Hits(found.affected, found.seen, risk=found.risk)


def tier_consistency(work: Work) -> Hits:
    """Find groups with odd and even codes (two tiers of tariffs); the lines of the rarer tier are affected."""
    sheet = work.sheet
    keyed = Keyed.of(sheet, work.rows, work.group)
    odd = sheet.where("code", lambda text: text[-1] in _ODD)[keyed.rows]
    odds, evens = keyed.sizes(odd), keyed.sizes(~odd)
    mixed = (odds > 0) & (evens > 0)
    rarer_is_odd = odds < evens
    shown = mixed[keyed.ids] & (odd == rarer_is_odd[keyed.ids])
    ids, _ = number(keyed.ids[shown])
    groups = chronological(sheet, keyed.rows[shown], ids)
    order = keyed.ids[shown][np.unique(ids, return_index=True)[1]]
    return Hits(groups, keyed.count, facts={"count": groups.sizes, "others": np.maximum(odds, evens)[order]})


def _session_needs(params: Params) -> tuple[str, ...]:
    return ("place",) if params.get("places") else ()


_EXCLUSION = {
    "a": Field("codes", default=frozenset()),
    "b": Field("codes", default=frozenset()),
    "pairs": Field("pairs", default=()),
    "except": Field("codes", default=frozenset()),
    "order": Field("choice", default="", choices=("b_first",)),
    "paid_decides": Field("bool", default=False),
    "gap_minutes": Field("int", default=SESSION_GAP_MINUTES),
}
_PLAIN = {"order": Field("choice", default="", choices=("b_first",)), "paid_decides": Field("bool", default=False)}
PRIMITIVES = (
    Primitive(
        name="mutual_exclusion",
        run=mutual_exclusion,
        doc="`a` and `b` (anything but `except` if there is no `b`) not in one group; or each of several `pairs`.",
        fields=_EXCLUSION,
        needs=_session_needs,
        facts=("other_code",),
        groups=None,
        sessions=True,
        reads_all=True,
    ),
    Primitive(
        name="place_exclusion",
        run=mutual_exclusion,
        doc="Like `mutual_exclusion`, at the `places` of the test only.",
        fields=_EXCLUSION,
        needs=_session_needs,
        facts=("other_code",),
        groups=None,
        reads_all=True,
    ),
    Primitive(
        name="surgery_exclusion",
        run=tabs_exclusion,
        doc="`a` not in one group with an act of the manual's `tabs` whose tariff is above `tariff_above_cents`.",
        fields={
            **_PLAIN,
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
        doc="Two roles (`roles_apart`) not at the same time in one group.",
        fields={**_PLAIN, "roles_apart": Field("texts", required=True)},
        needs=lambda _: ("role",),
        facts=("other_code",),
        groups=None,
        sessions=True,
    ),
    Primitive(
        name="requires_companion",
        run=requires_companion,
        doc="Each code of `companions` only with one of its companions in the same group.",
        fields={"companions": Field("codes_by_code", required=True)},
        facts=("required_codes",),
        groups=None,
        reads_all=True,
    ),
    Primitive(
        name="requires_context",
        run=requires_context,
        doc="Of several lines in a group, all but one have the context `token`.",
        fields={"token": Field("text", required=True)},
        facts=("count", "context"),
        groups=None,
    ),
    Primitive(
        name="distinct_invoice",
        run=distinct_invoice,
        doc="`a` and `b` not on one invoice; or no two `lines` of the test on one.",
        fields={
            **_PLAIN,
            "a": Field("codes", default=frozenset()),
            "b": Field("codes", default=frozenset()),
            "except": Field("codes", default=frozenset()),
            "apart": Field("choice", default="codes", choices=("codes", "lines")),
        },
        needs=lambda _: ("invoice",),
        groups=("invoice",),
        reads_all=False,
    ),
    Primitive(
        name="tier_consistency",
        run=tier_consistency,
        doc="Odd and even codes not mixed in a group.",
        facts=("count", "others"),
        groups=None,
    ),
)
