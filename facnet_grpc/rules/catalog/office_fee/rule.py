"""Office fees 19928 and 19929 (frais de bureau).

What it checks
    A doctor may claim a fee for a day in a cabinet once enough patients were seen. Per doctor and service date, with R
    registered and W walk-in patients: 19928 (32.40 $) needs R >= 6 or W >= 10, 19929 (64.80 $) needs R >= 12 or
    W >= 20. Permitted is nothing, one 19928 of a side that qualifies, one 19928 of each side, or one 19929 of a side
    that qualifies: 64.80 $ a day at most. A fee line with a walk-in context (G160, AR or
    1911, 310, 11) claims the walk-in side. A registered fee that is short, where the walk-in side would carry it and
    bears no fee, lacks its context: a warning, and the line counts as a walk-in fee from then on.

Whom it counts
    Patients of billed lines in a cabinet or at an unknown place, but for acts that are no meeting (communications,
    supplements, forms, everything of tab A). A patient counts once a day, on the side of their first visit.

Why
    A fee without its patients is refused or clawed back; a fee not claimed is lost after the filing deadline.

Source
    Not in the manual: thresholds and amounts are parameters of this rule. Certainty: likely.

An example
    Eight registered patients and 19929 billed: 12 are needed, 19928 would hold. At risk: 32.40 $, the difference.

What to do
    Correct the code or the context of the fee line, remove it, or add the fee that is missing.

Readings
    The amount of a fee line is its preliminary amount. A day with any error gets no advice. Two fees of one kind exceed
    what is permitted like any other. Between two permitted claims of the same amount, the one with the lower record
    number stays. `none_due` counts days with at least one patient that counts. Without a context column the sides
    cannot be told apart, and the rule is not evaluable; in a column that is merely empty everybody is registered.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.catalog.office_fee.claims import (
    FEE_CODES,
    HIGH,
    LOW,
    REGISTERED,
    SIDES,
    WALK_IN,
    Fees,
    OfficeDays,
    Terms,
    count_patients,
    exceeds,
    lines_to_drop,
)
from facnet_grpc.rules.findings import FindingGroup
from facnet_grpc.rules.parameters import named
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.claims import CLAIM_COLUMNS, Claims
from facnet_grpc.rules.table.groups import Groups

_BOTH = (REGISTERED, WALK_IN)
_KINDS = tuple((level, side) for level in (LOW, HIGH) for side in _BOTH)


class OfficeFee:
    """The rule."""

    info = RuleInfo(
        id="office_fee",
        version="1",
        category="office_fees",
        certainty=Certainty.LIKELY,
        severities=(Severity.ERROR, Severity.WARNING, Severity.OPTIMIZATION),
        scenarios=(
            "place",
            "context_missing",
            *(f"threshold_{FEE_CODES[level]}_{SIDES[side]}" for level, side in _KINDS),
            "ceiling",
            *(f"upgrade_{side}" for side in SIDES),
            *(f"second_fee_{side}" for side in SIDES),
            "missed",
            "awaiting_payment",
        ),
        needs=("patient_key",),
        reads=("context",),
        source="Practice: fees 19928 and 19929 are not in the manual",
        columns=CLAIM_COLUMNS,
        parameters=named(
            "walk_in_contexts",
            "walk_in_visit_codes",
            "not_a_meeting_codes",
            *(f"office_fee_{code}_{what}" for code in FEE_CODES for what in ("cents", *SIDES)),
        ),
    )

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:
        """See the module."""
        claims = Claims(lines)
        check = _Check(claims, count_patients(claims, reference))
        return RuleFindings(findings.table(claims, list(check.finding_groups())), check.passes())


class _Check:
    """All days at once: arrays over days, or over [level, side, day]."""

    def __init__(self, claims: Claims, days: OfficeDays) -> None:
        self.claims, self.days = claims, days
        self.terms = Terms.of(claims, days)
        self.enough = days.billed >= self.terms.need
        fees = Fees.of(claims)
        misplaced = claims.in_establishment[fees.rows]
        placed = fees.filter(~misplaced)
        without_context = self._without_context(placed)
        placed = placed.on_walk_in_side(without_context)
        self.contextless = placed.at(without_context)
        holds = self.enough[placed.level, placed.side, placed.day]
        self.misplaced, self.short, self.standing = fees.filter(misplaced), placed.filter(~holds), placed.filter(holds)
        self.standing_per_day = self.standing.per_day(len(days))
        self.over = exceeds(self.standing_per_day)
        self.has_fee = np.bincount(fees.day, minlength=len(days)) > 0
        self.calm = ~self.over  # no error that day
        self.calm[self.misplaced.day] = False
        self.calm[self.short.day] = False
        self._advise()

    def _without_context(self, fees: Fees) -> Ints:
        """Return the position of one registered fee a day that is short there and would hold on the walk-in side."""
        walk_in = np.bincount(fees.day[fees.side == WALK_IN], minlength=len(self.days)) > 0
        short = ~self.enough[fees.level, fees.side, fees.day] & ~walk_in[fees.day]
        found = np.flatnonzero(short & (fees.side == REGISTERED) & self.enough[fees.level, WALK_IN, fees.day])
        return found[np.unique(fees.day[found], return_index=True)[1]]

    def _advise(self) -> None:
        """Find the days on which another claim would pay more: at most one advice each."""
        low = self.standing_per_day[LOW]
        single = self.calm & (self.standing_per_day.sum(axis=(0, 1)) == 1)
        self.upgrade = [single & (low[side] == 1) & self.enough[HIGH, side] for side in _BOTH]
        upgrade = self.upgrade[REGISTERED] | self.upgrade[WALK_IN]
        self.second = [single & ~upgrade & (low[1 - side] == 1) & self.enough[LOW, side] for side in _BOTH]
        self.missed = ~self.has_fee & self.enough[LOW].any(axis=0)
        fees = self.standing
        paid_enough = self.days.paid[fees.side, fees.day] >= self.terms.need[fees.level, fees.side, fees.day]
        self.awaiting = fees.filter(self.calm[fees.day] & self.claims.paid[fees.rows] & ~paid_enough)

    def passes(self) -> dict[str, int]:
        """Count the days that are right as they are."""
        optimal = self.has_fee & self.calm & ~np.any([*self.upgrade, *self.second], axis=0)
        optimal[self.awaiting.day] = optimal[self.contextless.day] = False
        seen = self.days.billed.sum(axis=0) > 0
        return {"valid": int(optimal.sum()), "none_due": int((seen & ~self.has_fee & ~self.missed).sum())}

    def finding_groups(self) -> Iterator[FindingGroup]:
        """Return the findings, scenario by scenario."""
        lines = Groups.single(self.misplaced.rows)
        facts = {"code": self._codes(self.misplaced), "fee_cents": self.claims.cents[lines.rows]}
        yield FindingGroup("place", Severity.ERROR, lines.rows, lines, risk=lines, facts=facts)
        yield self._warning("context_missing", self.contextless)
        yield from (self._threshold(level, side) for level, side in _KINDS)
        yield self._ceiling()
        for side in _BOTH:
            gain = self.terms.tariff[HIGH] - self.terms.tariff[LOW]
            yield self._add(f"upgrade_{SIDES[side]}", self.upgrade[side], HIGH, side, gain)
            yield self._add(f"second_fee_{SIDES[side]}", self.second[side], LOW, side, self.terms.tariff[LOW])
        yield self._missed()
        yield self._warning("awaiting_payment", self.awaiting)

    def _warning(self, scenario: str, fees: Fees) -> FindingGroup:
        lines = Groups.single(fees.rows)
        return FindingGroup(scenario, Severity.WARNING, lines.rows, lines, risk=lines, facts=self._counts(fees))

    def _threshold(self, level: int, side: int) -> FindingGroup:
        fees = self.short.of_kind(level, side)
        lines = Groups.single(fees.rows)
        # A 19929 that would hold as a 19928 only loses the difference.
        instead = self.enough[LOW, side, fees.day] & (level == HIGH)
        cents = self.claims.cents[fees.rows]
        lost = np.where(instead, np.maximum(cents - self.terms.tariff[LOW, fees.day], 0), cents)
        facts = {**self._counts(fees), "instead_code": np.where(instead, FEE_CODES[LOW], "")}
        scenario = f"threshold_{FEE_CODES[level]}_{SIDES[side]}"
        return FindingGroup(scenario, Severity.ERROR, lines.rows, lines, risk=lines, risk_cents=lost, facts=facts)

    def _ceiling(self) -> FindingGroup:
        fees = self.standing.filter(self.over[self.standing.day])
        dropped = lines_to_drop(self.claims, fees)
        billed = Groups.of(fees.rows, [self.claims.doctor_day[0]], [self.claims.record])
        billed_cents = billed.total(self.claims.cents)
        facts = {
            "fees": billed.sizes,
            "billed_cents": billed_cents,
            "permitted_cents": billed_cents - dropped.total(self.claims.cents),
            "dropped": dropped.sizes,
        }
        return FindingGroup("ceiling", Severity.ERROR, dropped.first, dropped, risk=dropped, facts=facts)

    def _add(self, scenario: str, where: Mask, level: int, side: int, gain: Ints) -> FindingGroup:
        fees = self.standing.filter(where[self.standing.day])
        lines = Groups.single(fees.rows)
        wanted = Fees(fees.rows, fees.day, np.full_like(fees.level, level), np.full_like(fees.side, side))
        facts = {**self._counts(wanted), "billed_code": self._codes(fees)}
        return FindingGroup(scenario, Severity.OPTIMIZATION, lines.rows, lines, gain_cents=gain[fees.day], facts=facts)

    def _missed(self) -> FindingGroup:
        days = np.flatnonzero(self.missed)
        high, low = self.enough[HIGH][:, days], self.enough[LOW][:, days]
        # One 19929, registered first; else a 19928 of each side that qualifies.
        claim = np.where(low & ~high.any(axis=0), FEE_CODES[LOW], "")
        claim[REGISTERED, high[REGISTERED]] = FEE_CODES[HIGH]
        claim[WALK_IN, high[WALK_IN] & ~high[REGISTERED]] = FEE_CODES[HIGH]
        tariff = self.terms.tariff[:, days]
        gain = ((claim == FEE_CODES[LOW]) * tariff[LOW] + (claim == FEE_CODES[HIGH]) * tariff[HIGH]).sum(axis=0)
        facts = {}
        for side in _BOTH:
            facts[f"{SIDES[side]}_code"] = claim[side]
            facts[f"{SIDES[side]}_billed"] = self.days.billed[side, days]
            facts[f"{SIDES[side]}_paid"] = self.days.paid[side, days]
        nothing = Groups.empty(len(days))
        return FindingGroup("missed", Severity.OPTIMIZATION, self.days.row[days], nothing, gain_cents=gain, facts=facts)

    def _counts(self, fees: Fees) -> dict[str, findings.Fact]:
        return {
            "code": self._codes(fees),
            "side": np.array(SIDES)[fees.side],
            "required": self.terms.need[fees.level, fees.side, fees.day],
            "billed": self.days.billed[fees.side, fees.day],
            "paid": self.days.paid[fees.side, fees.day],
            "fee_cents": self.terms.tariff[fees.level, fees.day],
        }

    def _codes(self, fees: Fees) -> findings.Fact:
        return np.array(FEE_CODES)[fees.level]
