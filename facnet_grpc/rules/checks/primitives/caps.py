"""How much may be billed: `sum_cap`, `max_units`, `max_km`, `amount_shortfall`."""

from __future__ import annotations

import numpy as np

from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import Keyed, chronological, part_of, surplus_first
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Params, Primitive, Work
from facnet_grpc.rules.table.claims import Ints


def sum_cap(work: Work) -> Hits:
    """Find groups whose amounts add up to more than a cap; what is beyond it is at risk, last lines first.

    Amounts may hold a premium that the cap does not: up to `premium_per_mille` of the cap is one severity milder.
    """
    sheet, params = work.sheet, work.params
    caps: dict[str, int] = params["cap_by_code"]
    keyed = Keyed.of(sheet, work.rows, (*work.group, "code") if caps else work.group)
    if not len(keyed.rows):
        return Hits.none()
    cap = np.full(keyed.count, params["cap_cents"] or 0, np.int64)
    if caps:
        cap[keyed.ids] = _of_code(sheet, keyed.rows, caps)
    sums = np.zeros(keyed.count, np.int64)
    np.add.at(sums, keyed.ids, sheet.claims.cents[keyed.rows])
    over = sums > cap
    hits = keyed.only(over)
    groups = chronological(sheet, hits.rows, hits.ids)
    limits = cap[over]
    cents = sheet.claims.cents[groups.rows]
    before = np.cumsum(cents) - cents
    so_far = before - before[groups.starts[:-1]][groups.owner] + cents
    lost = np.clip(so_far - limits[groups.owner], 0, cents)
    beyond = lost > 0
    return Hits(
        affected=surplus_first(groups, beyond),
        seen=keyed.count,
        risk=part_of(groups, beyond),
        risk_cents=lost[beyond],
        facts={"total_cents": sums[over], "cap_cents": limits},
        milder=sums[over] * 1000 <= limits * params["premium_per_mille"],
    )


def max_units(work: Work) -> Hits:
    """Find lines with more units than their code allows."""
    rows = work.rows[work.sheet.claims.units[work.rows] > 0]
    units = work.sheet.claims.units[rows]
    table: dict[str, int] = work.params.get("max_by_code", {})
    limit = _of_code(work.sheet, rows, table) if table else np.full(len(rows), work.params["max"], np.int64)
    over = units > limit
    return Hits.lines(rows[over], len(rows), facts={"units": units[over], "max": limit[over]})


def amount_shortfall(work: Work) -> Hits:
    """Find lines that were paid less than asked for, or nothing at all."""
    sheet = work.sheet
    rows = sheet.where_known(work.rows, ["paid_cents"])
    if work.params["look_for"] == "refused":
        rows = sheet.where_known(rows, ["payment_period"])
    asked, paid = sheet.claims.cents[rows], sheet.paid_cents[rows]
    short = asked - paid > work.params["tolerance_cents"]
    short &= (paid == 0) if work.params["look_for"] == "refused" else (paid > 0)
    lost = (asked - paid)[short]
    return Hits.lines(
        rows[short],
        len(rows),
        risk_cents=lost,
        facts={"paid_cents": paid[short], "asked_cents": asked[short], "lost_cents": lost},
    )


def _of_code(sheet: ClaimTable, rows: Ints, table: dict[str, int]) -> Ints:
    return np.array([table.get(text, 0) for text in sheet.texts("code")], np.int64)[sheet.index("code")[rows]]


def _shortfall_needs(params: Params) -> tuple[str, ...]:
    return ("paid_cents", "payment_period") if params["look_for"] == "refused" else ("paid_cents",)


PRIMITIVES = (
    Primitive(
        name="sum_cap",
        run=sum_cap,
        doc="Amounts of a group of no more than `cap_cents`, or `cap_by_code` for each code alone.",
        fields={
            "cap_cents": Field("int"),
            "cap_by_code": Field("numbers_by_code", default={}),
            "premium_per_mille": Field("int", default=1000),
        },
        facts=("total_cents", "cap_cents"),
        groups=None,
        either=(("cap_cents", "cap_by_code"),),
    ),
    Primitive(
        name="max_units",
        run=max_units,
        doc="No more than `max` units on a line, or `max_by_code`.",
        fields={"max": Field("int"), "max_by_code": Field("numbers_by_code", default={})},
        needs=lambda _: ("units",),
        facts=("units", "max"),
        either=(("max", "max_by_code"),),
    ),
    Primitive(
        name="max_km",
        run=max_units,
        doc="No more than `max` kilometres, which the line has as units.",
        fields={"max": Field("int", required=True)},
        needs=lambda _: ("units",),
        facts=("units", "max"),
    ),
    Primitive(
        name="amount_shortfall",
        run=amount_shortfall,
        doc="Paid in full: `look_for` lines paid in part (`partial`) or not at all (`refused`).",
        fields={
            "tolerance_cents": Field("int", default=1),
            "look_for": Field("choice", default="partial", choices=("partial", "refused")),
        },
        needs=_shortfall_needs,
        facts=("paid_cents", "asked_cents", "lost_cents"),
    ),
)
