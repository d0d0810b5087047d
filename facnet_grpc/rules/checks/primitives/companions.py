"""What may only be billed with something, or apart from it: `requires_companion`, `requires_context` and kin."""

from __future__ import annotations

import numpy as np

from facnet_grpc.rules.checks.grouping import Keyed, chronological, part_of, rank, surplus_first
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work, join
from facnet_grpc.rules.checks.primitives.exclusion import exclude, sides
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups
from facnet_grpc.rules.table.text_ids import number

_ODD = "13579"


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
    lonely = _sure(work, lonely, np.setdiff1d(others, keyed.rows))
    wanted = ", ".join(sorted(companions))
    return Hits.lines(lonely, len(rows), facts={"required_codes": wanted})


def _sure(work: Work, lonely: Ints, nameless: Ints) -> Ints:
    """Leave out lines whose companion may be one of `nameless`: lines that lack what they would be grouped by."""
    if not len(lonely) or not len(nameless):
        return lonely
    group = tuple(part for part in work.group if part != "patient")
    keyed = Keyed.of(work.sheet, np.concatenate([lonely, nameless]), group)
    is_own = np.isin(keyed.rows, lonely)
    doubtful = np.isin(keyed.ids, keyed.ids[~is_own])
    return np.setdiff1d(lonely, keyed.rows[is_own & doubtful])


def requires_context(work: Work) -> Hits:
    """Find groups of several lines of which more than one lacks a context."""
    keyed = Keyed.of(work.sheet, work.rows, work.group)
    marked = work.sheet.where("context", lambda text: work.params["token"] in text.split(","))
    bare = keyed.sizes(~marked[keyed.rows])
    several = keyed.only(bare > 1)
    groups = chronological(work.sheet, several.rows, several.ids)
    lacking = ~marked[groups.rows]
    surplus = lacking & (_rank_among(groups, lacking) > 0)
    return Hits(
        affected=surplus_first(groups, surplus),
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
        later = rank(groups) > 0
        return Hits(surplus_first(groups, later), keyed.count, risk=part_of(groups, later))
    rows_a, rows_b = sides(work, work.params["a"], work.params["b"])
    found = exclude(work, rows_a, rows_b)
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


PRIMITIVES = (
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
        reads=lambda _: ("context",),
        groups=None,
    ),
    Primitive(
        name="distinct_invoice",
        run=distinct_invoice,
        doc="`a` and `b` not on one invoice; or no two `lines` of the test on one.",
        fields={
            "a": Field("codes", default=frozenset()),
            "b": Field("codes", default=frozenset()),
            "apart": Field("choice", default="codes", choices=("codes", "lines")),
        },
        needs=lambda _: ("invoice",),
        groups=("invoice",),
    ),
    Primitive(
        name="tier_consistency",
        run=tier_consistency,
        doc="Odd and even codes not mixed in a group.",
        facts=("count", "others"),
        groups=None,
    ),
)
