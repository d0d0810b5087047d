"""How often and how much may be billed: counts, units and amounts per line or group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, StrictBool

from facnet_grpc.calendar import day_number
from facnet_grpc.rules.checks.claim_table import NO_AGE, ClaimTable
from facnet_grpc.rules.checks.grouping import GroupedRows, chronological, combine
from facnet_grpc.rules.checks.primitives.base import (
    CheckTest,
    Codes,
    Evaluate,
    Evaluation,
    Group,
    Matches,
    Whole,
    WholeByCode,
)
from facnet_grpc.rules.checks.primitives.formats import statements
from facnet_grpc.rules.table.arrays import Ints, Mask, number
from facnet_grpc.rules.table.groups import Groups

# What may be counted instead of lines, and the column that it needs.
DISTINCT = {"patient": "patient_key", "doctor": "doctor_key"}


def sum_cap(evaluation: Evaluation[SumCap]) -> Matches:
    """Find groups whose amounts add up to more than a cap; what is beyond it is at risk, last lines first.

    Amounts may hold a premium that the cap does not: up to `premium_per_mille` of the cap is one severity downgraded.
    """
    table, test = evaluation.table, evaluation.test
    caps = test.cap_by_code
    grouped = GroupedRows.of(
        table, evaluation.rows, (*evaluation.test.group, "code") if caps else evaluation.test.group
    )
    if not len(grouped.rows):
        return Matches.none()
    cap = np.full(grouped.count, test.cap_cents or 0, np.int64)
    if caps:
        cap[grouped.ids] = _of_code(table, grouped.rows, caps)
    sums = np.zeros(grouped.count, np.int64)
    np.add.at(sums, grouped.ids, table.claims.cents[grouped.rows])
    over = sums > cap
    matching = grouped.filter(over)
    groups = chronological(table, matching.rows, matching.ids)
    limits = cap[over]
    cents = table.claims.cents[groups.rows]
    before = np.cumsum(cents) - cents
    so_far = before - before[groups.starts[:-1]][groups.owner] + cents
    lost = np.clip(so_far - limits[groups.owner], 0, cents)
    beyond = lost > 0
    return Matches(
        affected=groups.with_first(beyond),
        examined=grouped.count,
        risk=groups.filter_rows(beyond),
        risk_cents=lost[beyond],
        facts={"total_cents": sums[over], "cap_cents": limits},
        downgraded=sums[over] * 1000 <= limits * test.premium_per_mille,
    )


def max_units(evaluation: Evaluation[MaxUnits | MaxKm]) -> Matches:
    """Find lines with more units than their code allows."""
    rows = evaluation.rows[evaluation.table.claims.units[evaluation.rows] > 0]
    units = evaluation.table.claims.units[rows]
    test = evaluation.test
    by_code = test.max_by_code if isinstance(test, MaxUnits) else {}
    limit = _of_code(evaluation.table, rows, by_code) if by_code else np.full(len(rows), test.max or 0, np.int64)
    over = units > limit
    return Matches.of_lines(rows[over], len(rows), facts={"units": units[over], "max": limit[over]})


def amount_shortfall(evaluation: Evaluation[AmountShortfall]) -> Matches:
    """Find lines that were paid less than asked for, or nothing at all."""
    table = evaluation.table
    rows = table.where_known(evaluation.rows, ["paid_cents"])
    if evaluation.test.look_for == "refused":
        rows = table.where_known(rows, ["payment_period"])
        rows = np.setdiff1d(rows, _nearly_too_late(evaluation, rows), assume_unique=True)
    asked, paid = table.claims.cents[rows], table.paid_cents[rows]
    short = asked - paid > evaluation.test.tolerance_cents
    short &= (paid == 0) if evaluation.test.look_for == "refused" else (paid > 0)
    lost = (asked - paid)[short]
    return Matches.of_lines(
        rows[short],
        len(rows),
        risk_cents=lost,
        facts={"paid_cents": paid[short], "asked_cents": asked[short], "lost_cents": lost},
    )


def _nearly_too_late(evaluation: Evaluation[AmountShortfall], rows: Ints) -> Ints:
    """Return the rows whose deadline for a modification has `days_left` or fewer left, or has passed."""
    test = evaluation.test
    if evaluation.today is None or test.days is None:
        return rows[:0]
    rows, since = statements(evaluation, rows)
    return rows[since + test.days - day_number(evaluation.today) <= test.days_left]


def _of_code(table: ClaimTable, rows: Ints, numbers: Mapping[str, int]) -> Ints:
    by_code = np.array([numbers.get(text, 0) for text in table.texts("code")], np.int64)
    return by_code[table.index("code")[rows]]


def max_count(evaluation: Evaluation[MaxCount]) -> Matches:
    """Find groups with more lines than allowed; those beyond it, paid lines first, are at risk."""
    table, test = evaluation.table, evaluation.test
    rows = evaluation.rows
    if not len(rows):
        return Matches.none()
    if test.distinct == "occasion":
        rows = rows[_occasions(evaluation.table, rows) >= 0]
    by = ("code",) if test.max_by_code else ()
    grouped = GroupedRows.of(evaluation.table, rows, (*evaluation.test.group, *by))
    grouped = _by_family(evaluation.table, grouped, test.families)
    if not len(grouped.rows):
        return Matches.none()
    limit = _limits(table, grouped, test)
    over = _counts(evaluation, grouped) > limit
    if test.unless:
        over &= ~_accompanied(evaluation, grouped)
    matching = grouped.filter(over)
    return _beyond(
        table,
        matching,
        limit[over],
        grouped.count,
        distinct=test.distinct,
        lower_in_establishment=test.lower_in_establishment,
    )


def age_max_count(evaluation: Evaluation[AgeMaxCount]) -> Matches:
    """Find groups with more lines than allowed among those of patients of an age; see `max_count`."""
    table, test = evaluation.table, evaluation.test
    ages = table.ages(evaluation.rows, "months")
    rows = evaluation.rows[(ages != NO_AGE) & (ages >= test.min_months) & (ages <= test.max_months)]
    grouped = GroupedRows.of(table, rows, test.group)
    if not len(grouped.rows):
        return Matches.none()
    over = grouped.sizes() > test.max
    limits = np.full(int(over.sum()), test.max, np.int64)
    return _beyond(table, grouped.filter(over), limits, grouped.count, flagged=test.flag)


def _beyond(
    table: ClaimTable,
    matching: GroupedRows,
    limits: Ints,
    examined: int,
    *,
    distinct: str = "",
    flagged: frozenset[str] = frozenset(),
    lower_in_establishment: bool = False,
) -> Matches:
    groups = chronological(table, matching.rows, matching.ids)
    places = _unit_rank(table, groups, distinct)
    surplus = places >= limits[groups.owner]
    if flagged:
        surplus &= table.where("code", flagged.__contains__)[groups.rows]
        kept = np.bincount(groups.owner[surplus], minlength=len(groups)) > 0
        surplus, limits = surplus[kept[groups.owner]], limits[kept]
        groups = groups.filter(kept)
    counts = _unit_counts(groups, places if not flagged else _unit_rank(table, groups, ""))
    downgraded = None
    if lower_in_establishment:
        downgraded = groups.total(table.claims.in_establishment) > 0
    return Matches(
        affected=groups.with_first(surplus),
        examined=examined,
        risk=groups.filter_rows(surplus),
        facts={"count": counts, "max": limits},
        downgraded=downgraded,
    )


def _unit_rank(table: ClaimTable, groups: Groups, distinct: str) -> Ints:
    """Return, for each row, how many units of its group come before its own: paid ones first, then by time."""
    paid = table.claims.paid[groups.rows]
    if not distinct:
        order = np.lexsort([np.arange(len(paid)), ~paid, groups.owner])
        ranks = np.empty(len(paid), np.int64)
        ranks[order] = groups.positions
        return ranks
    unit, _ = number(combine([groups.owner, _units(table, groups.rows, distinct)]))
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


def _counts(evaluation: Evaluation[MaxCount], grouped: GroupedRows) -> Ints:
    distinct = evaluation.test.distinct
    if not distinct:
        return grouped.sizes()
    pairs = combine([grouped.ids, _units(evaluation.table, grouped.rows, distinct)])
    first = np.unique(pairs, return_index=True)[1]
    return np.bincount(grouped.ids[first], minlength=grouped.count)


def _units(table: ClaimTable, rows: Ints, distinct: str) -> Ints:
    return _occasions(table, rows) if distinct == "occasion" else table.index(DISTINCT[distinct])[rows]


def _occasions(table: ClaimTable, rows: Ints) -> Ints:
    """Return one number for all lines of a doctor that start together, or share an invoice; -1 for neither."""
    start = table.claims.start[rows]
    invoice = table.invoices(rows)
    what = np.where(start >= 0, start, np.where(invoice >= 0, (1 << 20) + invoice, -1))
    keys, _ = number(combine([table.index("doctor_key")[rows], table.claims.day[rows], what]))
    return np.where(what >= 0, keys, -1)


def _limits(table: ClaimTable, grouped: GroupedRows, test: MaxCount) -> Ints:
    if not test.max_by_code:
        return np.full(grouped.count, test.max or 0, np.int64)
    limits = np.zeros(grouped.count, np.int64)
    limits[grouped.ids] = _of_code(table, grouped.rows, test.max_by_code)
    return limits


def _by_family(table: ClaimTable, grouped: GroupedRows, families: tuple[frozenset[str], ...]) -> GroupedRows:
    if not families:
        return grouped
    family = np.array(
        [next((index for index, codes in enumerate(families) if text in codes), -1) for text in table.texts("code")],
        np.int64,
    )[table.index("code")[grouped.rows]]
    kept = family >= 0
    ids, count = number(grouped.ids[kept] * np.int64(len(families)) + family[kept])
    return GroupedRows(grouped.rows[kept], ids, count)


def _accompanied(evaluation: Evaluation[MaxCount], grouped: GroupedRows) -> Mask:
    """Return which groups also have a line with one of the codes of `unless`."""
    others = evaluation.table.with_codes(evaluation.test.unless)
    both = GroupedRows.of(evaluation.table, np.concatenate([grouped.rows, others]), evaluation.test.group)
    own = np.isin(both.rows, grouped.rows)
    lifted = np.bincount(both.ids[~own], minlength=both.count) > 0
    answer = np.zeros(grouped.count, np.bool_)
    answer[grouped.ids] = lifted[both.ids[own]]
    return answer


class SumCap(CheckTest):
    """Amounts of a group of no more than `cap_cents`, or `cap_by_code` for each code alone."""

    facts = ("total_cents", "cap_cents")
    alternatives = (("cap_cents", "cap_by_code"),)
    evaluate: ClassVar[Evaluate] = staticmethod(sum_cap)

    primitive: Literal["sum_cap"]
    group: Group
    cap_cents: Whole | None = None
    cap_by_code: WholeByCode = Field(default_factory=dict)
    premium_per_mille: Whole = 1000


class MaxUnits(CheckTest):
    """No more than `max` units on a line, or `max_by_code`."""

    facts = ("units", "max")
    alternatives = (("max", "max_by_code"),)
    required = ("units",)
    evaluate: ClassVar[Evaluate] = staticmethod(max_units)

    primitive: Literal["max_units"]
    max: Whole | None = None
    max_by_code: WholeByCode = Field(default_factory=dict)


class MaxKm(CheckTest):
    """No more than `max` kilometres, which the line has as units."""

    facts = ("units", "max")
    required = ("units",)
    evaluate: ClassVar[Evaluate] = staticmethod(max_units)

    primitive: Literal["max_km"]
    max: Whole


class AmountShortfall(CheckTest):
    """Paid in full: `look_for` lines paid in part (`partial`) or not at all (`refused`)."""

    facts = ("paid_cents", "asked_cents", "lost_cents")
    evaluate: ClassVar[Evaluate] = staticmethod(amount_shortfall)

    primitive: Literal["amount_shortfall"]
    tolerance_cents: Whole = 1
    look_for: Literal["partial", "refused"] = "partial"
    days: Whole | None = None  # refused lines only: leave out those with `days_left` or fewer of so many days left
    days_left: Whole = 0

    def required_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        return ("paid_cents", "payment_period") if self.look_for == "refused" else ("paid_cents",)


class MaxCount(CheckTest):
    """No more than `max` lines (or `max_by_code`) in a group."""

    facts = ("count", "max")
    alternatives = (("max", "max_by_code"),)
    evaluate: ClassVar[Evaluate] = staticmethod(max_count)

    primitive: Literal["max_count"]
    group: Group
    max: Whole | None = None
    max_by_code: WholeByCode = Field(default_factory=dict)
    families: Annotated[tuple[Codes, ...], Field(min_length=1)] = ()
    distinct: Literal["", "patient", "doctor", "occasion"] = ""
    unless: Codes = frozenset()
    lower_in_establishment: StrictBool = False

    def required_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        column = DISTINCT.get(self.distinct)
        return (column,) if column else ()

    def optional_columns(self) -> tuple[str, ...]:
        """See `CheckTest`."""
        return ("place",) if self.lower_in_establishment else ()

    @property
    def columns(self) -> frozenset[str]:
        """See `CheckTest`: an occasion may be an invoice."""
        return super().columns | ({"invoice"} if self.distinct == "occasion" else set())


class AgeMaxCount(CheckTest):
    """No more than `max` lines in a group at an age of `min_months` to `max_months`."""

    facts = ("count", "max")
    required = ("patient_key",)
    evaluate: ClassVar[Evaluate] = staticmethod(age_max_count)

    primitive: Literal["age_max_count"]
    group: Group
    max: Whole
    min_months: Whole = 0
    max_months: Whole
    flag: Codes = frozenset()


PRIMITIVES = (SumCap, MaxUnits, MaxKm, AmountShortfall, MaxCount, AgeMaxCount)
