"""How often something may be billed: `max_count`, `age_max_count`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facnet_grpc.rules.checks.claim_table import NO_AGE, ClaimTable
from facnet_grpc.rules.checks.grouping import Keyed, chronological, combine, part_of, rank, surplus_first
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Params, Primitive, Work
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups
from facnet_grpc.rules.table.text_ids import number

# What may be counted instead of lines, and the column that it needs.
DISTINCT = {"patient": "patient_key", "doctor": "doctor_key"}


def max_count(work: Work) -> Hits:
    """Find groups with more lines than allowed; those beyond it, paid lines first, are at risk."""
    params = work.params
    rows = work.rows
    if not len(rows):
        return Hits.none()
    if params["distinct"] == "occasion":
        rows = rows[_occasions(work.sheet, rows) >= 0]
    by = ("code",) if params["max_by_code"] else ()
    keyed = Keyed.of(work.sheet, rows, (*work.group, *by))
    keyed = _by_family(work.sheet, keyed, params["families"])
    if not len(keyed.rows):
        return Hits.none()
    limit = _limits(work.sheet, keyed, params)
    over = _counts(work, keyed) > limit
    if params["unless"]:
        over &= ~_accompanied(work, keyed)
    hits = keyed.only(over)
    return _beyond(work, hits, limit[over], keyed.count)


def age_max_count(work: Work) -> Hits:
    """Find groups with more lines than allowed among those of patients of an age; see `max_count`."""
    sheet, params = work.sheet, work.params
    ages = sheet.ages(work.rows, "months")
    rows = work.rows[(ages != NO_AGE) & (ages >= params["min_months"]) & (ages <= params["max_months"])]
    narrowed = Work(sheet, rows, work.group, {**_PLAIN, **params}, work.reference, work.today, work.narrow)
    return max_count(narrowed)


_PLAIN: Params = {
    "max_by_code": {},
    "families": (),
    "distinct": "",
    "unless": frozenset(),
    "lower_in_establishment": False,
}


def _beyond(work: Work, hits: Keyed, limits: Ints, seen: int) -> Hits:
    sheet = work.sheet
    groups = chronological(sheet, hits.rows, hits.ids)
    places = _unit_rank(sheet, groups, work.params["distinct"])
    surplus = places >= limits[groups.owner]
    flagged = work.params.get("flag")
    if flagged:
        surplus &= sheet.where("code", flagged.__contains__)[groups.rows]
        kept = np.bincount(groups.owner[surplus], minlength=len(groups)) > 0
        surplus, limits = surplus[kept[groups.owner]], limits[kept]
        groups = groups.having(kept)
    counts = _unit_counts(groups, places if not flagged else _unit_rank(sheet, groups, ""))
    milder = None
    if work.params["lower_in_establishment"]:
        milder = groups.total(sheet.claims.in_establishment) > 0
    return Hits(
        affected=surplus_first(groups, surplus),
        seen=seen,
        risk=part_of(groups, surplus),
        facts={"count": counts, "max": limits},
        milder=milder,
    )


def _unit_rank(sheet: ClaimTable, groups: Groups, distinct: str) -> Ints:
    """Return, for each row, how many units of its group come before its own: paid ones first, then by time."""
    paid = sheet.claims.paid[groups.rows]
    if not distinct:
        order = np.lexsort([np.arange(len(paid)), ~paid, groups.owner])
        ranks = np.empty(len(paid), np.int64)
        ranks[order] = rank(groups)
        return ranks
    unit, _ = number(combine([groups.owner, _units(sheet, groups.rows, distinct)]))
    first = np.unique(unit, return_index=True)[1]
    is_first = np.zeros(len(unit), np.bool_)
    is_first[first] = True
    running = np.cumsum(is_first)
    before = running[first] - 1
    base: Ints = (running - is_first)[groups.starts[:-1]]
    return before[unit] - base[groups.owner]


def _unit_counts(groups: Groups, ranks: Ints) -> Ints:
    counts = np.zeros(len(groups), np.int64)
    np.maximum.at(counts, groups.owner, ranks + 1)
    return counts


def _counts(work: Work, keyed: Keyed) -> Ints:
    distinct = work.params["distinct"]
    if not distinct:
        return keyed.sizes()
    pairs = combine([keyed.ids, _units(work.sheet, keyed.rows, distinct)])
    first = np.unique(pairs, return_index=True)[1]
    return np.bincount(keyed.ids[first], minlength=keyed.count)


def _units(sheet: ClaimTable, rows: Ints, distinct: str) -> Ints:
    return _occasions(sheet, rows) if distinct == "occasion" else sheet.index(DISTINCT[distinct])[rows]


def _occasions(sheet: ClaimTable, rows: Ints) -> Ints:
    """Return one number for all lines of a doctor that start together, or share an invoice; -1 for neither."""
    start = sheet.claims.start[rows]
    invoice = sheet.invoices(rows)
    what = np.where(start >= 0, start, np.where(invoice >= 0, (1 << 20) + invoice, -1))
    keys, _ = number(combine([sheet.index("doctor_key")[rows], sheet.claims.day[rows], what]))
    return np.where(what >= 0, keys, -1)


def _limits(sheet: ClaimTable, keyed: Keyed, params: Params) -> Ints:
    table: Mapping[str, int] = params["max_by_code"]
    if not table:
        return np.full(keyed.count, params["max"], np.int64)
    limits = np.zeros(keyed.count, np.int64)
    by_code = np.array([table.get(text, 0) for text in sheet.texts("code")], np.int64)
    limits[keyed.ids] = by_code[sheet.index("code")[keyed.rows]]
    return limits


def _by_family(sheet: ClaimTable, keyed: Keyed, families: tuple[frozenset[str], ...]) -> Keyed:
    if not families:
        return keyed
    family = np.array(
        [next((index for index, codes in enumerate(families) if text in codes), -1) for text in sheet.texts("code")],
        np.int64,
    )[sheet.index("code")[keyed.rows]]
    kept = family >= 0
    ids, count = number(keyed.ids[kept] * np.int64(len(families)) + family[kept])
    return Keyed(keyed.rows[kept], ids, count)


def _accompanied(work: Work, keyed: Keyed) -> Mask:
    """Return which groups also have a line with one of the codes of `unless`."""
    others = work.sheet.with_codes(work.params["unless"])
    both = Keyed.of(work.sheet, np.concatenate([keyed.rows, others]), work.group)
    own = np.isin(both.rows, keyed.rows)
    lifted = np.bincount(both.ids[~own], minlength=both.count) > 0
    answer = np.zeros(keyed.count, np.bool_)
    answer[keyed.ids] = lifted[both.ids[own]]
    return answer


def _needs(params: Params) -> tuple[str, ...]:
    column = DISTINCT.get(params["distinct"])
    return (column,) if column else ()


_MAX = Field("int", required=True)
PRIMITIVES = (
    Primitive(
        name="max_count",
        run=max_count,
        doc="No more than `max` lines (or `max_by_code`) in a group.",
        fields={
            "max": Field("int"),
            "max_by_code": Field("numbers_by_code", default={}),
            "families": Field("code_lists", default=()),
            "distinct": Field("choice", default="", choices=("patient", "doctor", "occasion")),
            "unless": Field("codes", default=frozenset()),
            "lower_in_establishment": Field("bool", default=False),
        },
        needs=_needs,
        facts=("count", "max"),
        reads=lambda params: ("place",) if params["lower_in_establishment"] else (),
        groups=None,
        either=(("max", "max_by_code"),),
    ),
    Primitive(
        name="age_max_count",
        run=age_max_count,
        doc="No more than `max` lines in a group at an age of `min_months` to `max_months`.",
        fields={
            "max": _MAX,
            "min_months": Field("int", default=0),
            "max_months": _MAX,
            "flag": Field("codes", default=frozenset()),
        },
        needs=lambda _: ("patient_key",),
        facts=("count", "max"),
        groups=None,
    ),
)
