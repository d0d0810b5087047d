"""Amounts beside the reference: `reference_lookup`, `amount_matches_reference`, `place_amount`, `amount_relation`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from facnet_grpc.calendar import day_number
from facnet_grpc.reference.snapshot import ANYWHERE, CABINET, ESTABLISHMENT, ReferenceSnapshot
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import Keyed, chronological, combine, part_of, surplus_first
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work
from facnet_grpc.rules.table.claims import Claims, Ints, Mask
from facnet_grpc.rules.table.groups import Groups
from facnet_grpc.rules.table.text_ids import number

_NONE = 0  # no tariff


def reference_lookup(work: Work) -> Hits:
    """Find codes that the reference does not have, or contexts that had ended on the day of service."""
    if work.params["look_up"] == "context":
        return _ended_contexts(work)
    if not work.reference.codes:
        return Hits.lacks("codes")
    unknown = work.sheet.where("code", lambda text: text not in work.reference.codes)
    keyed = Keyed.of(work.sheet, work.rows, work.group)
    hits = keyed.only(np.bincount(keyed.ids[unknown[keyed.rows]], minlength=keyed.count) > 0)
    groups = chronological(work.sheet, hits.rows, hits.ids)
    return Hits(groups, keyed.count, risk=groups, facts={"count": groups.sizes})


def _ended_contexts(work: Work) -> Hits:
    if not work.reference.contexts:
        return Hits.lacks("contexts")
    sheet = work.sheet
    ends = np.array([_end_of(text, work.reference) for text in sheet.texts("context")] + [_FOREVER], np.int64)
    rows = sheet.where_known(work.rows, ["context"])
    last = ends[sheet.index("context")[rows]]
    over = sheet.claims.day[rows] > last
    days = last[over].view("datetime64[D]").astype(str)
    return Hits.lines(rows[over], len(rows), facts={"end_date": days})


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
    def of(cls, sheet: ClaimTable, reference: ReferenceSnapshot) -> _Tariffs:
        codes = sheet.texts("code")
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


def amount_matches_reference(work: Work) -> Hits:
    """Find amounts that are no tariff of the code at that class of place, times units, times an admissible factor."""
    if not work.reference.codes:
        return Hits.lacks("codes")
    sheet = work.sheet
    tariffs = _Tariffs.of(sheet, work.reference)
    rows = work.rows[np.logical_or.reduce(tariffs.either > _NONE, axis=1)[sheet.index("code")[work.rows]]]
    if not len(rows):
        return Hits.none()
    claims = sheet.claims
    codes, cents = sheet.index("code")[rows], claims.cents[rows]
    kinds, count = number(combine([codes, _place(claims, rows), _units(claims, rows), cents]))
    sample = np.zeros(count, np.int64)
    sample[kinds] = rows
    wrong, nearest = _compare(work, tariffs, sample)
    off = wrong[kinds]
    keyed = Keyed.of(sheet, rows, work.group)
    groups = chronological(sheet, keyed.rows[off], keyed.ids[off])
    asked = claims.cents[groups.first]
    expected = nearest[kinds[np.searchsorted(rows, groups.first)]]
    return Hits(
        affected=groups,
        seen=keyed.count,
        risk=groups,
        facts={"count": groups.sizes, "asked_cents": asked, "tariff_cents": expected},
    )


def _place(claims: Claims, rows: Ints) -> Ints:
    cabinet, elsewhere = claims.in_cabinet[rows].astype(np.int8), claims.in_establishment[rows].astype(np.int8)
    return cabinet + elsewhere * np.int8(2)


def _units(claims: Claims, rows: Ints) -> Ints:
    return np.maximum(claims.units[rows], 1)


def _compare(work: Work, tariffs: _Tariffs, rows: Ints) -> tuple[Mask, Ints]:
    """Return which amounts match nothing, and the nearest amount that would."""
    place, units = _place(work.sheet.claims, rows), _units(work.sheet.claims, rows)
    codes = work.sheet.index("code")[rows]
    cents = work.sheet.claims.cents[rows]
    wrong = np.zeros(len(rows), np.bool_)
    nearest = np.zeros(len(rows), np.int64)
    factors = np.array(work.params["factors_per_mille"], np.int64)
    for kind, table in enumerate((tariffs.either, tariffs.cabinet, tariffs.establishment)):
        here = np.flatnonzero(place == kind)
        base = table[codes[here]]
        # Not every code is paid by the unit: the tariff alone is right as well.
        amounts = np.concatenate([base, base * units[here, None]], axis=1)
        candidates = ((amounts[:, :, None] * factors + 500) // 1000).reshape(len(here), amounts.shape[1] * len(factors))
        distance = np.where(candidates > _NONE, np.abs(candidates - cents[here, None]), np.iinfo(np.int64).max)
        best = distance.argmin(axis=1) if len(here) else np.zeros(0, np.int64)
        wrong[here] = distance[np.arange(len(here)), best] > work.params["tolerance_cents"]
        nearest[here] = candidates[np.arange(len(here)), best]
    known = nearest > _NONE
    return wrong & known, nearest


def place_amount(work: Work) -> Hits:
    """Find lines at an establishment that ask for exactly the cabinet's tariff where the establishment's differs."""
    if not work.reference.codes:
        return Hits.lacks("codes")
    sheet, claims = work.sheet, work.sheet.claims
    codes = sheet.texts("code")
    office, elsewhere = (
        np.array([_only(work.reference, code, place) for code in codes], np.int64) for place in (CABINET, ESTABLISHMENT)
    )
    rows = work.rows[claims.in_establishment[work.rows]]
    index = sheet.index("code")[rows]
    rows, index = (values[(office[index] > 0) & (elsewhere[index] > 0)] for values in (rows, index))
    units = np.maximum(claims.units[rows], 1)
    dear = (claims.cents[rows] == office[index] * units) & (office[index] > elsewhere[index])
    lost = ((office[index] - elsewhere[index]) * units)[dear]
    return Hits.lines(
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


def amount_relation(work: Work) -> Hits:
    """Find groups with several acts of the manual's `tabs` at their full tariff; all but the dearest are due a part."""
    if not work.reference.codes:
        return Hits.lacks("codes")
    sheet, tabs = work.sheet, set(work.params["tabs"])
    full = np.array([_full_tariff(work.reference, code, tabs) for code in sheet.texts("code")], np.int64)
    rows = work.rows[full[sheet.index("code")[work.rows]] > _NONE]
    keyed = Keyed.of(sheet, rows, work.group)
    whole = sheet.claims.cents[keyed.rows] >= full[sheet.index("code")[keyed.rows]]
    several = keyed.sizes(whole) > 1
    chosen = several[keyed.ids] & whole
    groups = chronological(sheet, keyed.rows[chosen], keyed.ids[chosen], -sheet.claims.cents[keyed.rows[chosen]])
    later = np.arange(len(groups.rows)) > groups.starts[:-1][groups.owner]
    risk = part_of(groups, later)
    part = sheet.claims.cents[risk.rows] * (100 - work.params["percent"]) // 100
    return Hits(
        affected=surplus_first(groups, later),
        seen=int((keyed.sizes() > 1).sum()),
        risk=risk,
        risk_cents=part,
        facts={"count": groups.sizes, "percent": work.params["percent"], "lost_cents": _sum(risk, part)},
    )


def _sum(groups: Groups, cents: Ints) -> Ints:
    total = np.zeros(len(groups), np.int64)
    np.add.at(total, groups.owner, cents)
    return total


def _full_tariff(reference: ReferenceSnapshot, code: str, tabs: set[str]) -> int:
    entries = [entry for entry in reference.codes.get(code, ()) if entry.tab in tabs]
    return max((entry.tariff_cents or _NONE for entry in entries), default=_NONE)


PRIMITIVES = (
    Primitive(
        name="reference_lookup",
        run=reference_lookup,
        doc="The code is in the reference; or (`look_up` context) no context of the line had ended.",
        fields={"look_up": Field("choice", default="code", choices=("code", "context"))},
        needs=lambda params: ("context",) if params["look_up"] == "context" else (),
        facts=("count", "end_date"),
    ),
    Primitive(
        name="amount_matches_reference",
        run=amount_matches_reference,
        doc="The amount is a tariff of the code, by units or not, times one of `factors_per_mille`.",
        fields={"factors_per_mille": Field("numbers", default=(1000,)), "tolerance_cents": Field("int", default=1)},
        facts=("count", "asked_cents", "tariff_cents"),
    ),
    Primitive(
        name="place_amount",
        run=place_amount,
        doc="At an establishment, not the cabinet's tariff.",
        needs=lambda _: ("place",),
        facts=("tariff_cents", "lost_cents"),
    ),
    Primitive(
        name="amount_relation",
        run=amount_relation,
        doc="Of several acts of the manual's `tabs` in a group, all but the dearest ask for `percent` of their tariff.",
        fields={"tabs": Field("texts", required=True), "percent": Field("int", default=50)},
        facts=("count", "percent", "lost_cents"),
        groups=None,
    ),
)
