"""Amounts beside the reference: `reference_lookup`, `amount_matches_reference`, `place_amount`, `amount_relation`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from facnet_grpc.calendar import day_number
from facnet_grpc.reference.snapshot import ANYWHERE, CABINET, ESTABLISHMENT, ReferenceSnapshot
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import GroupedRows, chronological, combine
from facnet_grpc.rules.checks.primitives.base import CheckTest, Evaluate, Evaluation, Group, Matches, Texts, Whole
from facnet_grpc.rules.table.arrays import Ints, Mask, number
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.groups import Groups

_NONE = 0  # no tariff


def reference_lookup(evaluation: Evaluation[ReferenceLookup]) -> Matches:
    """Find codes that the reference does not have, or contexts that had ended on the day of service."""
    if evaluation.test.look_up == "context":
        return _ended_contexts(evaluation)
    if not evaluation.reference.codes:
        return Matches.not_evaluable("codes")
    unknown = evaluation.table.where("code", lambda text: text not in evaluation.reference.codes)
    grouped = GroupedRows.of(evaluation.table, evaluation.rows, evaluation.test.group)
    matching = grouped.filter(np.bincount(grouped.ids[unknown[grouped.rows]], minlength=grouped.count) > 0)
    groups = chronological(evaluation.table, matching.rows, matching.ids)
    return Matches(groups, grouped.count, risk=groups, facts={"count": groups.sizes})


def _ended_contexts(evaluation: Evaluation[ReferenceLookup]) -> Matches:
    if not evaluation.reference.contexts:
        return Matches.not_evaluable("contexts")
    table = evaluation.table
    ends = np.array([_end_of(text, evaluation.reference) for text in table.texts("context")] + [_FOREVER], np.int64)
    rows = table.where_known(evaluation.rows, ["context"])
    last = ends[table.index("context")[rows]]
    over = table.claims.day[rows] > last
    days = last[over].view("datetime64[D]").astype(str)
    return Matches.of_lines(rows[over], len(rows), facts={"end_date": days})


_FOREVER = day_number(date.max)


def _end_of(text: str, reference: ReferenceSnapshot) -> int:
    """Return the first day on which one of the contexts ends; a token that nobody lists never does."""
    found = [reference.contexts[token].ends_on for token in text.split(",") if token in reference.contexts]
    return min((day_number(end) for end in found if end), default=_FOREVER)


@dataclass(frozen=True, slots=True)
class _Tariffs:
    """The reference's tariffs for the codes of a file's dictionary: cents[code, column], 0 where there is none."""

    cabinet: npt.NDArray[np.int64]
    establishment: npt.NDArray[np.int64]
    either: npt.NDArray[np.int64]

    @classmethod
    def of(cls, table: ClaimTable, reference: ReferenceSnapshot) -> _Tariffs:
        codes = table.texts("code")
        return cls(
            _padded([_amounts(reference, code, {CABINET}) for code in codes]),
            _padded([_amounts(reference, code, {ESTABLISHMENT}) for code in codes]),
            _padded([_amounts(reference, code, None) for code in codes]),
        )


def _amounts(reference: ReferenceSnapshot, code: str, places: set[str] | None) -> list[int]:
    entries = reference.codes.get(code, ())
    if any(entry.base_units for entry in entries):
        return []
    return sorted(
        {
            entry.tariff_cents
            for entry in entries
            if entry.tariff_cents
            and (places is None or entry.place in places or entry.place not in (CABINET, ESTABLISHMENT))
        }
    )


def _padded(lists: list[list[int]]) -> npt.NDArray[np.int64]:
    width = max((len(amounts) for amounts in lists), default=1) or 1
    return np.array([amounts + [_NONE] * (width - len(amounts)) for amounts in lists], np.int64).reshape(-1, width)


def amount_matches_reference(evaluation: Evaluation[AmountMatchesReference]) -> Matches:
    """Find amounts that are no tariff of the code at that class of place, times units, times an admissible factor."""
    if not evaluation.reference.codes:
        return Matches.not_evaluable("codes")
    table = evaluation.table
    tariffs = _Tariffs.of(table, evaluation.reference)
    rows = evaluation.rows[np.logical_or.reduce(tariffs.either > _NONE, axis=1)[table.index("code")[evaluation.rows]]]
    if not len(rows):
        return Matches.none()
    claims = table.claims
    codes, cents = table.index("code")[rows], claims.cents[rows]
    kinds, count = number(combine([codes, _place(claims, rows), _units(claims, rows), cents]))
    sample = np.zeros(count, np.int64)
    sample[kinds] = rows
    wrong, nearest = _compare(evaluation, tariffs, sample)
    off = wrong[kinds]
    grouped = GroupedRows.of(table, rows, evaluation.test.group)
    groups = chronological(table, grouped.rows[off], grouped.ids[off])
    asked = claims.cents[groups.first]
    expected = nearest[kinds[np.searchsorted(rows, groups.first)]]
    return Matches(
        affected=groups,
        examined=grouped.count,
        risk=groups,
        facts={"count": groups.sizes, "asked_cents": asked, "tariff_cents": expected},
    )


def _place(claims: Claims, rows: Ints) -> Ints:
    cabinet, elsewhere = claims.in_cabinet[rows].astype(np.int8), claims.in_establishment[rows].astype(np.int8)
    return cabinet + elsewhere * np.int8(2)


def _units(claims: Claims, rows: Ints) -> Ints:
    return np.maximum(claims.units[rows], 1)


def _compare(evaluation: Evaluation[AmountMatchesReference], tariffs: _Tariffs, rows: Ints) -> tuple[Mask, Ints]:
    """Return which amounts match nothing, and the nearest amount that would."""
    place, units = _place(evaluation.table.claims, rows), _units(evaluation.table.claims, rows)
    codes = evaluation.table.index("code")[rows]
    cents = evaluation.table.claims.cents[rows]
    wrong = np.zeros(len(rows), np.bool_)
    nearest = np.zeros(len(rows), np.int64)
    factors = np.array(evaluation.test.factors_per_mille, np.int64)
    for kind, table in enumerate((tariffs.either, tariffs.cabinet, tariffs.establishment)):
        here = np.flatnonzero(place == kind)
        base = table[codes[here]]
        # Not every code is paid by the unit: the tariff alone is right as well.
        amounts = np.concatenate([base, base * units[here, None]], axis=1)
        candidates = ((amounts[:, :, None] * factors + 500) // 1000).reshape(len(here), amounts.shape[1] * len(factors))
        distance = np.where(candidates > _NONE, np.abs(candidates - cents[here, None]), np.iinfo(np.int64).max)
        best = distance.argmin(axis=1) if len(here) else np.zeros(0, np.int64)
        wrong[here] = distance[np.arange(len(here)), best] > evaluation.test.tolerance_cents
        nearest[here] = candidates[np.arange(len(here)), best]
    known = nearest > _NONE
    return wrong & known, nearest


def place_amount(evaluation: Evaluation[PlaceAmount]) -> Matches:
    """Find lines at an establishment that ask for exactly the cabinet's tariff where the establishment's differs."""
    if not evaluation.reference.codes:
        return Matches.not_evaluable("codes")
    table, claims = evaluation.table, evaluation.table.claims
    codes = table.texts("code")
    office, elsewhere = (
        np.array([_only(evaluation.reference, code, place) for code in codes], np.int64)
        for place in (CABINET, ESTABLISHMENT)
    )
    rows = evaluation.rows[claims.in_establishment[evaluation.rows]]
    index = table.index("code")[rows]
    rows, index = (values[(office[index] > 0) & (elsewhere[index] > 0)] for values in (rows, index))
    units = np.maximum(claims.units[rows], 1)
    dear = (claims.cents[rows] == office[index] * units) & (office[index] > elsewhere[index])
    lost = ((office[index] - elsewhere[index]) * units)[dear]
    return Matches.of_lines(
        rows[dear],
        len(rows),
        risk_cents=lost,
        facts={"tariff_cents": (elsewhere[index] * units)[dear], "lost_cents": lost},
    )


def _only(reference: ReferenceSnapshot, code: str, place: str) -> int:
    """Return the tariff of a code at a class of place if it has exactly one, and none for all places."""
    entries = reference.codes.get(code, ())
    amounts = {entry.tariff_cents for entry in entries if entry.place == place}
    anywhere = any(entry.place == ANYWHERE for entry in entries)
    return (amounts.pop() or 0) if len(amounts) == 1 and not anywhere else 0


def amount_relation(evaluation: Evaluation[AmountRelation]) -> Matches:
    """Find groups with several acts of the manual's `tabs` at their full tariff; all but the dearest are due a part."""
    if not evaluation.reference.codes:
        return Matches.not_evaluable("codes")
    table, tabs = evaluation.table, set(evaluation.test.tabs)
    full = np.array([_full_tariff(evaluation.reference, code, tabs) for code in table.texts("code")], np.int64)
    rows = evaluation.rows[full[table.index("code")[evaluation.rows]] > _NONE]
    grouped = GroupedRows.of(table, rows, evaluation.test.group)
    whole = table.claims.cents[grouped.rows] >= full[table.index("code")[grouped.rows]]
    several = grouped.sizes(whole) > 1
    chosen = several[grouped.ids] & whole
    groups = chronological(table, grouped.rows[chosen], grouped.ids[chosen], -table.claims.cents[grouped.rows[chosen]])
    later = np.arange(len(groups.rows)) > groups.starts[:-1][groups.owner]
    risk = groups.filter_rows(later)
    part = table.claims.cents[risk.rows] * (100 - evaluation.test.percent) // 100
    return Matches(
        affected=groups.with_first(later),
        examined=int((grouped.sizes() > 1).sum()),
        risk=risk,
        risk_cents=part,
        facts={"count": groups.sizes, "percent": evaluation.test.percent, "lost_cents": _sum(risk, part)},
    )


def _sum(groups: Groups, cents: Ints) -> Ints:
    total = np.zeros(len(groups), np.int64)
    np.add.at(total, groups.owner, cents)
    return total


def _full_tariff(reference: ReferenceSnapshot, code: str, tabs: set[str]) -> int:
    entries = [entry for entry in reference.codes.get(code, ()) if entry.tab in tabs]
    return max((entry.tariff_cents or _NONE for entry in entries), default=_NONE)


class ReferenceLookup(CheckTest):
    """The code is in the reference; or (`look_up` context) no context of the line had ended."""

    facts = ("count", "end_date")
    evaluate: ClassVar[Evaluate] = staticmethod(reference_lookup)

    primitive: Literal["reference_lookup"]
    look_up: Literal["code", "context"] = "code"

    def required_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        return ("context",) if self.look_up == "context" else ()


class AmountMatchesReference(CheckTest):
    """The amount is a tariff of the code, by units or not, times one of `factors_per_mille`."""

    facts = ("count", "asked_cents", "tariff_cents")
    evaluate: ClassVar[Evaluate] = staticmethod(amount_matches_reference)

    primitive: Literal["amount_matches_reference"]
    factors_per_mille: Annotated[tuple[Whole, ...], Field(min_length=1)] = (1000,)
    tolerance_cents: Whole = 1


class PlaceAmount(CheckTest):
    """At an establishment, not the cabinet's tariff."""

    facts = ("tariff_cents", "lost_cents")
    required = ("place",)
    evaluate: ClassVar[Evaluate] = staticmethod(place_amount)

    primitive: Literal["place_amount"]


class AmountRelation(CheckTest):
    """Of several acts of the manual's `tabs` in a group, all but the dearest ask for `percent` of their tariff."""

    facts = ("count", "percent", "lost_cents")
    evaluate: ClassVar[Evaluate] = staticmethod(amount_relation)

    primitive: Literal["amount_relation"]
    group: Group
    tabs: Texts
    percent: Whole = 50


PRIMITIVES = (ReferenceLookup, AmountMatchesReference, PlaceAmount, AmountRelation)
