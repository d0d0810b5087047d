"""Lines that must not be billed together: codes, acts of surgery, roles, codes on one invoice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, StrictBool

from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import (
    SESSION,
    SESSION_GAP_MINUTES,
    GroupedRows,
    Sessions,
    chronological,
    session_keys,
)
from facnet_grpc.rules.checks.primitives.base import (
    CheckTest,
    Codes,
    Entry,
    Evaluate,
    Evaluation,
    Group,
    Matches,
    Text,
    Texts,
    Whole,
    concat,
)
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.groups import Groups


@dataclass(frozen=True, slots=True)
class _Options:
    """How an exclusion compares: see the parameters of `mutual_exclusion`."""

    b_first: bool = False
    paid_decides: bool = False
    gap_minutes: int = SESSION_GAP_MINUTES


_DEFAULT = _Options()


def mutual_exclusion(evaluation: Evaluation[_Exclusion]) -> Matches:
    """Find groups that have a line of `a` and one of `b`; the lines of `a` are at risk."""
    test = evaluation.test
    options = _Options(
        b_first=test.order == "b_first",
        paid_decides=test.paid_decides,
        gap_minutes=test.gap_minutes if isinstance(test, MutualExclusion) else SESSION_GAP_MINUTES,
    )
    pairs: list[tuple[frozenset[str], frozenset[str] | None]] = [(pair.a, pair.b) for pair in test.pairs]
    pairs = pairs or [(test.a, test.b or None)]
    return concat([_exclude(evaluation, *_sides(evaluation, *pair, test.except_), options) for pair in pairs])


def surgery_exclusion(evaluation: Evaluation[SurgeryExclusion]) -> Matches:
    """Find lines of `a` beside an act of one of the reference's tabs with a tariff above an amount."""
    if not evaluation.reference.codes:
        return Matches.not_evaluable("codes")
    limit, tabs = evaluation.test.tariff_above_cents, set(evaluation.test.tabs)
    codes = frozenset(
        code
        for code in evaluation.table.texts("code")  # those of the file: the reference has thousands
        if any(
            entry.tab in tabs and (entry.tariff_cents or 0) > limit
            for entry in evaluation.reference.codes.get(code, ())
        )
    )
    return _exclude(evaluation, *_sides(evaluation, evaluation.test.a, codes - evaluation.test.a))


def _sides(
    evaluation: Evaluation[CheckTest],
    first: frozenset[str],
    second: frozenset[str] | None,
    others: frozenset[str] = frozenset(),
) -> tuple[Ints, Ints]:
    """Return the lines of `first`, and those of `second` or, without it, of anything that is not allowed."""
    table = evaluation.table
    rows_a = evaluation.narrow(table.with_codes(first))
    if not len(rows_a):
        return rows_a, rows_a
    if second is not None:
        return rows_a, evaluation.narrow(table.with_codes(second))
    # Anything else: only lines of the patients in question can matter.
    candidates = table.billed
    if "patient" in evaluation.test.group:
        patients = np.zeros(table.claims.size_of("patient_key") + 1, np.bool_)
        patients[table.index("patient_key")[rows_a]] = True
        candidates = candidates[patients[table.index("patient_key")[candidates]]]
    allowed = first | others
    return rows_a, evaluation.narrow(candidates[~table.where("code", allowed.__contains__)[candidates]])


def _exclude(evaluation: Evaluation[CheckTest], rows_a: Ints, rows_b: Ints, options: _Options = _DEFAULT) -> Matches:
    """Return the groups that have one of `rows_a` and one of `rows_b`."""
    if not len(rows_a) or not len(rows_b):
        return Matches.none(len(rows_a))
    rows = np.concatenate([rows_a, rows_b])
    if evaluation.test.group[-1] != SESSION:
        grouped = GroupedRows.of(evaluation.table, rows, evaluation.test.group)
        return _together(evaluation, grouped, np.isin(grouped.rows, rows_a), options)
    grouped = session_keys(evaluation.table, rows, evaluation.test.group[:-1])
    return _same_session(evaluation, grouped, np.isin(grouped.rows, rows_a), options)


def _same_session(evaluation: Evaluation[CheckTest], grouped: GroupedRows, is_a: Mask, options: _Options) -> Matches:
    """Judge by the clock where lines have one; where one of a pair has none, by the day and one severity lower."""
    timed = evaluation.table.claims.start[grouped.rows] >= 0
    sessions = Sessions.of(evaluation.table, grouped.rows[timed], grouped.ids[timed], options.gap_minutes)
    by_clock = GroupedRows(sessions.groups.rows, sessions.groups.owner, len(sessions.groups))
    a_rows = grouped.rows[is_a]
    sure = _together(evaluation, by_clock, np.isin(by_clock.rows, a_rows), options)
    has = {
        (side, clock): np.bincount(grouped.ids[(is_a == side) & (timed == clock)], minlength=grouped.count) > 0
        for side in (True, False)
        for clock in (True, False)
    }
    any_a, any_b = has[True, True] | has[True, False], has[False, True] | has[False, False]
    unsure = (has[True, False] & any_b) | (any_a & has[False, False])
    unsure[grouped.ids[np.isin(grouped.rows, sure.affected.rows)]] = False
    maybe = grouped.filter(unsure)
    doubtful = _together(evaluation, maybe, np.isin(maybe.rows, a_rows), options, downgraded=True)
    found = concat([sure, doubtful])
    return replace(found, examined=_examined(a_rows, found.risk, len(found)))


def _together(
    evaluation: Evaluation[CheckTest],
    grouped: GroupedRows,
    is_a: Mask,
    options: _Options = _DEFAULT,
    *,
    downgraded: bool = False,
) -> Matches:
    table = evaluation.table
    all_a = grouped.rows[is_a]
    has_a = np.bincount(grouped.ids[is_a], minlength=grouped.count) > 0
    has_b = np.bincount(grouped.ids[~is_a], minlength=grouped.count) > 0
    both = (has_a & has_b)[grouped.ids]
    rows, ids, is_a = grouped.rows[both], grouped.ids[both], is_a[both]
    if options.b_first:
        rows, ids, is_a = _b_first(evaluation, rows, ids, is_a, grouped.count)
    if not len(rows):
        return Matches.none(len(all_a))
    groups = chronological(table, rows, ids, (~is_a).astype(np.int64))
    a_rows = np.isin(groups.rows, rows[is_a])
    partners = groups.filter_rows(~a_rows)
    lower = np.full(len(groups), downgraded)
    if options.paid_decides:
        lower |= partners.total(table.claims.paid) == 0
    risk = groups.filter_rows(a_rows)
    return Matches(
        affected=groups,
        examined=_examined(all_a, risk, len(groups)),
        risk=risk,
        facts={"other_code": table.text("code", partners.first)},
        downgraded=lower,
    )


def _examined(a_rows: Ints, risk: Groups | None, matching: int) -> int:
    """Return how many things were looked at, so that what passes are the lines of `a` that are not affected."""
    return len(a_rows) - (len(risk.rows) if risk else 0) + matching


def _b_first(
    evaluation: Evaluation[CheckTest], rows: Ints, ids: Ints, is_a: Mask, count: int
) -> tuple[Ints, Ints, Mask]:
    """Keep lines of `a` on or after the day of the group's first line of `b`, and groups that still have one."""
    days = evaluation.table.claims.day[rows]
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, ids[~is_a], days[~is_a])
    kept = ~is_a | (days >= first[ids])
    still = np.bincount(ids[is_a & kept], minlength=count) > 0
    kept &= still[ids]
    return rows[kept], ids[kept], is_a[kept]


def role_exclusion(evaluation: Evaluation[RoleExclusion]) -> Matches:
    """Find groups in which two roles are billed at the same time; the lines of the other one are at risk."""
    table = evaluation.table
    first, second = (_in_role(table, role) for role in (evaluation.test.role, evaluation.test.other_role))
    if not first.any() or not second.any():
        return Matches.none(len(evaluation.rows))
    rows = evaluation.rows[first[evaluation.rows] | second[evaluation.rows]]
    grouped = GroupedRows.of(table, rows, tuple(part for part in evaluation.test.group if part != SESSION))
    timed = table.claims.start[grouped.rows] >= 0
    sessions = Sessions.of(table, grouped.rows[timed], grouped.ids[timed], 0)
    by_clock = GroupedRows(sessions.groups.rows, sessions.groups.owner, len(sessions.groups))
    sure = _together(evaluation, by_clock, second[by_clock.rows])
    rest = GroupedRows(grouped.rows[~timed], grouped.ids[~timed], grouped.count)
    doubtful = _together(evaluation, rest, second[rest.rows], downgraded=True)
    return concat([sure, doubtful])


def _in_role(table: ClaimTable, role: str) -> Mask:
    return table.where("role", lambda text: text.lstrip("0") == role)


def distinct_invoice(evaluation: Evaluation[DistinctInvoice]) -> Matches:
    """Find codes on one invoice that have to be on separate ones."""
    if evaluation.test.apart == "lines":
        grouped = GroupedRows.of(evaluation.table, evaluation.rows, evaluation.test.group)
        several = grouped.filter(grouped.sizes() > 1)
        groups = chronological(evaluation.table, several.rows, several.ids)
        later = groups.positions > 0
        return Matches(groups.with_first(later), grouped.count, risk=groups.filter_rows(later))
    rows_a, rows_b = _sides(evaluation, evaluation.test.a, evaluation.test.b)
    found = _exclude(evaluation, rows_a, rows_b)
    return Matches(found.affected, found.examined, risk=found.risk)


class Pair(Entry):
    """Two sets of codes that exclude each other."""

    a: Codes
    b: Codes


class _Exclusion(CheckTest):
    facts = ("other_code",)
    selects_itself = True
    evaluate: ClassVar[Evaluate] = staticmethod(mutual_exclusion)

    group: Group
    a: Codes = frozenset()
    b: Codes = frozenset()
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1)] = ()
    except_: Codes = Field(frozenset(), alias="except")
    order: Literal["", "b_first"] = ""
    paid_decides: StrictBool = False


class MutualExclusion(_Exclusion):
    """`a` and `b` (anything but `except` if there is no `b`) not in one group; or each of several `pairs`."""

    sessions = True
    alternatives = (("a", "pairs"),)

    primitive: Literal["mutual_exclusion"]
    gap_minutes: Whole = SESSION_GAP_MINUTES


class PlaceExclusion(_Exclusion):
    """Like `mutual_exclusion`, at the `places` of the test only."""

    alternatives = (("a", "pairs"), ("places",))

    primitive: Literal["place_exclusion"]


class SurgeryExclusion(CheckTest):
    """`a` not in one group with an act of the manual's `tabs` whose tariff is above `tariff_above_cents`."""

    facts = ("other_code",)
    selects_itself = True
    evaluate: ClassVar[Evaluate] = staticmethod(surgery_exclusion)

    primitive: Literal["surgery_exclusion"]
    group: Group
    a: Codes
    tabs: Texts
    tariff_above_cents: Whole


class RoleExclusion(CheckTest):
    """A line in `other_role` not at the same time as one in `role`, in one group."""

    facts = ("other_code",)
    sessions = True
    required = ("role",)
    evaluate: ClassVar[Evaluate] = staticmethod(role_exclusion)

    primitive: Literal["role_exclusion"]
    group: Group
    role: Text
    other_role: Text


class DistinctInvoice(CheckTest):
    """`a` and `b` not on one invoice; or no two `lines` of the test on one."""

    required = ("invoice",)
    evaluate: ClassVar[Evaluate] = staticmethod(distinct_invoice)

    primitive: Literal["distinct_invoice"]
    group: Group = ("invoice",)
    a: Codes = frozenset()
    b: Codes = frozenset()
    apart: Literal["codes", "lines"] = "codes"


PRIMITIVES = (
    MutualExclusion,
    PlaceExclusion,
    SurgeryExclusion,
    RoleExclusion,
    DistinctInvoice,
)
