"""Annual GMF supplement 08875 (supplément annuel en GMF).

What it checks
    A patient has one supplement 08875 a calendar year. `duplicate`: two or more were billed, by whichever doctors.
    `missed`: the patient had an appointment visit (15801-15840) or a clinical intervention (08857-08860) at a site of a
    GMF, without context GAP, GMFU, G160, AR (1911) or MTA13, and no 08875 was billed that year.

Why
    The second one is refused; one that nobody claims is lost (9.35 $).

Source
    EP 33, annexe V (RAMQ Acte-info 109, 2019-09-26). The limit is certain; `missed` is likely.

An example
    08875 on March 3 by one doctor and on June 10 by another, same patient: the second line is at risk; an error if
    either is paid, else a warning.

What to do
    Keep the first paid line and remove the others. For a missed one, add 08875 to the visit.

Readings
    Of two or more lines, the first paid one stands (by date, then record number), or the first if none is paid; the
    result names the doctor of the first line that will not be paid. Which places are sites of a GMF is part of the
    reference; without it `missed` is not evaluable (`establishments`), and `duplicate` still is. `missed` names the
    first such visit by date, then record number. Lines of one patient and year count together wherever they were
    billed: the file does not say which GMF a patient belongs to.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pyarrow as pa

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.findings import FindingGroup
from facnet_grpc.rules.parameters import named, numbers
from facnet_grpc.rules.table.arrays import Mask
from facnet_grpc.rules.table.claims import CLAIM_COLUMNS, Claims
from facnet_grpc.rules.table.groups import Groups, keep_one

_CODES = frozenset({"08875"})


class GmfSupplement:
    """The rule."""

    info = RuleInfo(
        id="gmf_supplement",
        version="1",
        category="gmf_supplements",
        certainty=Certainty.CERTAIN,
        severities=(Severity.ERROR, Severity.WARNING, Severity.OPTIMIZATION),
        scenarios=("duplicate", "missed"),
        needs=("patient_key",),
        source="EP 33, annexe V (RAMQ Acte-info 109, 2019-09-26)",
        columns=CLAIM_COLUMNS,
        parameters=named(
            "gmf_supplement_cents", "appointment_visit_codes", "gmf_intervention_codes", "gmf_excluded_contexts"
        ),
        scenario_certainty=MappingProxyType({"missed": Certainty.LIKELY}),
    )

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:
        """See the module."""
        claims = Claims(lines)
        supplement = claims.billed & claims.has_patient & claims.in_codes(_CODES)
        finding_group, once = _duplicate(claims, supplement)
        if not reference.establishments:
            return RuleFindings(
                findings.table(claims, [finding_group]), {"duplicate": once}, not_evaluable=("establishments",)
            )
        missed, claimed = _missed(claims, supplement, reference)
        return RuleFindings(findings.table(claims, [finding_group, missed]), {"duplicate": once, "missed": claimed})


def _duplicate(claims: Claims, supplement: Mask) -> tuple[FindingGroup, int]:
    groups = _by_patient_and_year(claims, supplement)
    twice = groups.filter(groups.sizes > 1)
    kept = keep_one(claims, twice)
    about = kept.affected.first
    paid = twice.total(claims.paid)
    finding_group = FindingGroup(
        "duplicate",
        Severity.ERROR,
        about,
        kept.affected,
        risk=kept.surplus,
        downgraded=paid == 0,
        facts={
            "year": claims.year[about],
            "lines": twice.sizes,
            "paid_lines": paid,
            "kept_line": claims.record[kept.kept],
        },
        of_patient=True,
    )
    return finding_group, len(groups) - len(twice)


def _missed(claims: Claims, supplement: Mask, reference: ReferenceSnapshot) -> tuple[FindingGroup, int]:
    sites = {number for number, place in reference.establishments.items() if place.gmf}
    at_site = claims.at_place(lambda place: place in sites)
    visit = claims.has_code("appointment_visit_codes") | claims.has_code("gmf_intervention_codes")
    visit &= claims.billed & claims.has_patient & at_site
    visit &= ~claims.has_context("gmf_excluded_contexts")
    groups = _by_patient_and_year(claims, visit | supplement)
    visited, claimed = groups.total(visit) > 0, groups.total(supplement) > 0
    first = Groups.single(groups.filter(visited & ~claimed).first)
    finding_group = FindingGroup(
        "missed",
        Severity.OPTIMIZATION,
        first.rows,
        first,
        gain_cents=numbers("gmf_supplement_cents", claims.day[first.rows]),
        facts={"year": claims.year[first.rows]},
        of_patient=True,
    )
    return finding_group, int((visited & claimed).sum())


def _by_patient_and_year(claims: Claims, lines: Mask) -> Groups:
    return Groups.of(np.flatnonzero(lines), [claims.patient, claims.year], [claims.day, claims.record])
