"""Annual and once-only visits (visites de prise en charge et visites périodiques).

What it checks
    A doctor bills one periodic visit (15819 15820 15839 15840) per patient and calendar year, none in the year of a
    take-charge visit (15801 15802 15815 15816 15821 15822 15835 15836), and one take-charge visit per patient at all.
    `periodic_missing` is the other way round: two or more follow-ups of a vulnerable registered patient (15823 15824
    15837 15838) in a year, and neither of these visits; only as long as the year is not over, and if the file covers
    at least 180 days of it.

Why
    A second one is refused. A periodic visit pays up to twice what a follow-up does.

Source
    P.G. 2.2.6 A c) 1) and 2). Certainty: certain.

An example
    15819 on February 3 and on November 4 of one year, the first one paid: the second line is at risk; a warning, an
    error once both are paid.

What to do
    Keep the first paid line and change the others to a follow-up. If a visit is missing, plan it before December 31.

Readings
    Results about a year are one a year: two periodic visits in each of two years are two results. Take-charge visits
    give one result per doctor and patient over the whole file; it is an error if two of one calendar year are paid.
    Periodic visits by several doctors give one result per patient and year, named after the doctor of the first line
    that will not be paid. That line is the first, by date, then record number, that is not the one kept.
    `periodic_missing` looks at one year at a time; tariff and place are those of the first follow-up, and follow-ups at
    an unknown place are left out. Passes count what was looked at for a scenario and found right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

import numpy as np
import pyarrow as pa

from facnet_grpc.calendar import EPOCH, day_number
from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import CABINET, ESTABLISHMENT, ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.findings import Fact, FindingGroup
from facnet_grpc.rules.parameters import named
from facnet_grpc.rules.table.arrays import Column, Ints, Mask, values_of
from facnet_grpc.rules.table.claims import CLAIM_COLUMNS, Claims
from facnet_grpc.rules.table.groups import Groups, keep_one

_LEAST_DAYS = 180  # of a year, that a file has to cover

# The periodic visit of the same age band and tier as a follow-up.
_PERIODIC_OF = {"15823": "15819", "15824": "15820", "15837": "15839", "15838": "15840"}


@dataclass(frozen=True, slots=True)
class AnnualVisit:
    """The rule. Without a day of judgement, `periodic_missing` looks at no year."""

    today: date | None = None

    info: ClassVar[RuleInfo] = RuleInfo(
        id="annual_visit",
        version="1",
        category="annual_visits",
        certainty=Certainty.CERTAIN,
        severities=(Severity.ERROR, Severity.WARNING, Severity.INFO),
        scenarios=(
            "periodic_twice",
            "take_charge_twice",
            "periodic_after_take_charge",
            "periodic_other_doctor",
            "periodic_missing",
        ),
        needs=("patient_key",),
        source="P.G. 2.2.6 A c) 1), 2)",
        columns=CLAIM_COLUMNS,
        parameters=named("take_charge_codes", "periodic_codes", "vulnerable_follow_up_codes"),
    )

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:
        """See the module."""
        check = _Check(Claims(lines), self.today)
        checked = {
            "periodic_twice": check.periodic_twice(),
            "take_charge_twice": check.take_charge_twice(),
            "periodic_after_take_charge": check.periodic_after_take_charge(),
            "periodic_other_doctor": check.periodic_other_doctor(),
            "periodic_missing": check.periodic_missing(reference),
        }
        finding_groups = [finding_group for finding_group, _ in checked.values()]
        return RuleFindings(
            findings.table(check.claims, finding_groups),
            {scenario: right for scenario, (_, right) in checked.items()},
        )


class _Check:
    """One method a scenario; each returns its findings and how many groups it found right."""

    def __init__(self, claims: Claims, today: date | None) -> None:
        self.claims, self.today = claims, today
        counted = claims.billed & claims.has_patient
        self.periodic = counted & claims.has_code("periodic_codes")
        self.take_charge = counted & claims.has_code("take_charge_codes")
        known_place = claims.in_cabinet | claims.in_establishment
        self.follow_up = counted & claims.has_code("vulnerable_follow_up_codes") & known_place
        self.a_year = (claims.doctor, claims.patient, claims.year)

    def periodic_twice(self) -> tuple[FindingGroup, int]:
        groups = self._groups(self.periodic, self.a_year)
        twice = groups.filter(groups.sizes > 1)
        paid = twice.total(self.claims.paid)
        return self._one_too_many("periodic_twice", twice, paid > 1, {}), len(groups) - len(twice)

    def take_charge_twice(self) -> tuple[FindingGroup, int]:
        years = self._groups(self.take_charge, self.a_year)
        paid_twice = np.zeros(len(self.claims), np.bool_)
        paid_twice[years.filter(years.total(self.claims.paid) > 1).rows] = True
        groups = self._groups(self.take_charge, (self.claims.doctor, self.claims.patient))
        twice = groups.filter(groups.sizes > 1)
        last_year = self.claims.year[twice.rows[twice.starts[1:] - 1]]
        one_year = last_year == self.claims.year[twice.first]
        facts: dict[str, Fact] = {"last_year": pa.array(last_year, mask=one_year)}
        finding_group = self._one_too_many("take_charge_twice", twice, twice.total(paid_twice) > 0, facts)
        return finding_group, len(groups) - len(twice)

    def periodic_after_take_charge(self) -> tuple[FindingGroup, int]:
        groups = self._groups(self.periodic | self.take_charge, self.a_year)
        periodic, take_charge = groups.total(self.periodic) > 0, groups.total(self.take_charge) > 0
        both = groups.filter(periodic & take_charge)
        paid = self.claims.paid
        both_paid = (both.total(self.periodic & paid) > 0) & (both.total(self.take_charge & paid) > 0)
        facts: dict[str, Fact] = {
            "periodic": both.total(self.periodic),
            "take_charge": both.total(self.take_charge),
        }
        finding_group = self._one_too_many("periodic_after_take_charge", both, both_paid, facts)
        return finding_group, int((periodic & ~take_charge).sum())

    def periodic_other_doctor(self) -> tuple[FindingGroup, int]:
        doctors = self._groups(self.periodic, (self.claims.patient, self.claims.year, self.claims.doctor))
        one_each = np.zeros(len(self.claims), np.bool_)
        one_each[doctors.first] = True
        groups = self._groups(self.periodic, (self.claims.patient, self.claims.year))
        several = groups.total(one_each) > 1
        shared = groups.filter(several)
        never = np.zeros(len(shared), np.bool_)
        facts: dict[str, Fact] = {"doctors": shared.total(one_each)}
        return self._one_too_many("periodic_other_doctor", shared, never, facts), int((~several).sum())

    def periodic_missing(self, reference: ReferenceSnapshot) -> tuple[FindingGroup, int]:
        had = self.periodic | self.take_charge
        groups = self._groups(self.follow_up | had, self.a_year)
        groups = groups.filter(self._is_open(self.claims.year[groups.first]))
        followed = groups.total(self.follow_up) > 1
        missing = groups.filter(followed & (groups.total(had) == 0))
        tariff = self._periodic_tariffs(missing.first, reference)
        missing, tariff = missing.filter(tariff > 0), tariff[tariff > 0]
        finding_group = FindingGroup(
            "periodic_missing",
            Severity.INFO,
            missing.first,
            missing,
            gain_cents=tariff,
            facts={"year": self.claims.year[missing.first], "follow_ups": missing.sizes, "tariff_cents": tariff},
            of_patient=True,
        )
        return finding_group, int((followed & (groups.total(had) > 0)).sum())

    def _is_open(self, years: Ints) -> Mask:
        """Return which years are not over, and covered well enough to say that something is missing."""
        open_years = [year for year in np.unique(years).tolist() if self.today and year >= self.today.year]
        return np.isin(years, [year for year in open_years if self._days_covered(year) >= _LEAST_DAYS])

    def _days_covered(self, year: int) -> int:
        """Return the days from the first to the last service of a year in the file, both included."""
        days, _ = values_of(self.claims.column("service_date"))
        first, last = day_number(date(year, 1, 1)), day_number(date(year, 12, 31))
        of_year = days[(days >= first) & (days <= last)]
        return int(of_year.max()) - int(of_year.min()) + 1

    def _one_too_many(self, scenario: str, groups: Groups, error: Mask, facts: dict[str, Fact]) -> FindingGroup:
        kept = keep_one(self.claims, groups)
        about = kept.affected.first
        year = self.claims.year[groups.first]
        counts: dict[str, Fact] = {
            "year": year,
            "lines": groups.sizes,
            "paid_lines": groups.total(self.claims.paid),
            "kept_line": self.claims.record[kept.kept],
        }
        return FindingGroup(
            scenario,
            Severity.ERROR,
            about,
            kept.affected,
            risk=kept.surplus,
            downgraded=~error,
            facts={**counts, **facts},
            of_patient=True,
        )

    def _groups(self, lines: Mask, keys: Sequence[Ints | Column]) -> Groups:
        return Groups.of(np.flatnonzero(lines), keys, [self.claims.day, self.claims.record])

    def _periodic_tariffs(self, rows: Ints, reference: ReferenceSnapshot) -> Ints:
        """Return the tariff of the periodic visit that goes with each follow-up; 0 if the reference has none."""
        periodic = np.zeros(len(rows), np.int64)
        for follow_up, visit in _PERIODIC_OF.items():
            periodic[self.claims.in_codes(frozenset({follow_up}))[rows]] = int(visit)
        place = self.claims.in_cabinet[rows].astype(np.int64)
        cases, case = np.unique(np.stack([periodic, place, self.claims.day[rows]]), axis=1, return_inverse=True)
        tariffs = [
            reference.tariff_cents(str(code), CABINET if cabinet else ESTABLISHMENT, EPOCH + timedelta(days=day)) or 0
            for code, cabinet, day in cases.T.tolist()
        ]
        return np.array(tariffs, np.int64)[case.ravel()]
