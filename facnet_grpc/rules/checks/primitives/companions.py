"""Lines that need others in their group: a companion, the context of several, codes of the same tier."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from facnet_grpc.rules.checks.grouping import (
    GroupedRows,
    chronological,
)
from facnet_grpc.rules.checks.primitives.base import (
    CheckTest,
    Code,
    Codes,
    Evaluate,
    Evaluation,
    Group,
    Matches,
    Text,
    concat,
)
from facnet_grpc.rules.table.arrays import Ints, Mask, number
from facnet_grpc.rules.table.groups import Groups

_ODD = "13579"


def requires_companion(evaluation: Evaluation[RequiresCompanion]) -> Matches:
    """Find lines whose group has none of the codes that they may only be billed with."""
    return concat([_lonely(evaluation, code, companions) for code, companions in evaluation.test.companions.items()])


def _lonely(evaluation: Evaluation[CheckTest], code: str, companions: frozenset[str]) -> Matches:
    own = evaluation.narrow(evaluation.table.with_codes(frozenset([code])))
    if not len(own):
        return Matches.none()
    others = evaluation.table.with_codes(companions)
    grouped = GroupedRows.of(evaluation.table, np.concatenate([own, others]), evaluation.test.group)
    is_own = np.isin(grouped.rows, own)
    accompanied = np.bincount(grouped.ids[~is_own], minlength=grouped.count) > 0
    rows = grouped.rows[is_own]
    lonely = rows[~accompanied[grouped.ids[is_own]]]
    lonely = _sure(evaluation, lonely, np.setdiff1d(others, grouped.rows))
    wanted = ", ".join(sorted(companions))
    return Matches.of_lines(lonely, len(rows), facts={"required_codes": wanted})


def _sure(evaluation: Evaluation[CheckTest], lonely: Ints, nameless: Ints) -> Ints:
    """Leave out lines whose companion may be one of `nameless`: lines that lack what they would be grouped by."""
    if not len(lonely) or not len(nameless):
        return lonely
    group = tuple(part for part in evaluation.test.group if part != "patient")
    grouped = GroupedRows.of(evaluation.table, np.concatenate([lonely, nameless]), group)
    is_own = np.isin(grouped.rows, lonely)
    doubtful = np.isin(grouped.ids, grouped.ids[~is_own])
    return np.setdiff1d(lonely, grouped.rows[is_own & doubtful])


def requires_context(evaluation: Evaluation[RequiresContext]) -> Matches:
    """Find groups of several lines of which more than one lacks a context."""
    grouped = GroupedRows.of(evaluation.table, evaluation.rows, evaluation.test.group)
    marked = evaluation.table.where("context", lambda text: evaluation.test.token in text.split(","))
    bare = grouped.sizes(~marked[grouped.rows])
    several = grouped.filter(bare > 1)
    groups = chronological(evaluation.table, several.rows, several.ids)
    lacking = ~marked[groups.rows]
    surplus = lacking & (_rank_among(groups, lacking) > 0)
    return Matches(
        affected=groups.with_first(surplus),
        examined=int((grouped.sizes() > 1).sum()),
        risk=groups.filter_rows(surplus),
        facts={"count": groups.sizes, "context": evaluation.test.token},
    )


def _rank_among(groups: Groups, chosen: Mask) -> Ints:
    running: Ints = np.cumsum(chosen) - chosen
    before: Ints = running - running[groups.starts[:-1]][groups.owner]
    return before


def tier_consistency(evaluation: Evaluation[CheckTest]) -> Matches:
    """Find groups with odd and even codes (two tiers of tariffs); the lines of the rarer tier are affected."""
    table = evaluation.table
    grouped = GroupedRows.of(table, evaluation.rows, evaluation.test.group)
    odd = table.where("code", lambda text: text[-1] in _ODD)[grouped.rows]
    odds, evens = grouped.sizes(odd), grouped.sizes(~odd)
    mixed = (odds > 0) & (evens > 0)
    rarer_is_odd = odds < evens
    shown = mixed[grouped.ids] & (odd == rarer_is_odd[grouped.ids])
    ids, _ = number(grouped.ids[shown])
    groups = chronological(table, grouped.rows[shown], ids)
    order = grouped.ids[shown][np.unique(ids, return_index=True)[1]]
    return Matches(groups, grouped.count, facts={"count": groups.sizes, "others": np.maximum(odds, evens)[order]})


class RequiresCompanion(CheckTest):
    """Each code of `companions` only with one of its companions in the same group."""

    facts = ("required_codes",)
    selects_itself = True
    evaluate: ClassVar[Evaluate] = staticmethod(requires_companion)

    primitive: Literal["requires_companion"]
    group: Group
    companions: Annotated[dict[Code, Codes], Field(min_length=1)]


class RequiresContext(CheckTest):
    """Of several lines in a group, all but one have the context `token`."""

    facts = ("count", "context")
    optional = ("context",)
    evaluate: ClassVar[Evaluate] = staticmethod(requires_context)

    primitive: Literal["requires_context"]
    group: Group
    token: Text


class TierConsistency(CheckTest):
    """Odd and even codes not mixed in a group."""

    facts = ("count", "others")
    evaluate: ClassVar[Evaluate] = staticmethod(tier_consistency)

    primitive: Literal["tier_consistency"]
    group: Group


PRIMITIVES = (RequiresCompanion, RequiresContext, TierConsistency)
