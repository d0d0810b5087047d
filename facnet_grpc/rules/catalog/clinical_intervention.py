"""Clinical interventions of more than 180 minutes a day (maximum quotidien d'intervention clinique).

What it checks
    Per doctor and service date, the minutes of clinical interventions (08857-08860, 08866-08869) add up to at most 180.
    Lines with an exempt context (ICEP, ICSM, ICTOX, 1713-1716, 1771, 1772, 1818, 1819, 1923; 1834 until 2022-05-14)
    and group codes 08841-08844 do not count. Lines of a collective intervention (08866-08869) with the same code, start
    and end are one meeting: its minutes count once, and all its lines are affected or none. Lines are taken by start
    time, those without one last, then by record number; the line that passes the maximum and all after it are affected.

Why
    The RAMQ pays no minute beyond the maximum, and claws back what it paid: an error as long as an affected line is
    unpaid, a warning if all are paid.

Source
    P.G. 2.2.6 B. Certainty: certain.

An example
    Three interventions of 60 minutes and a fourth one of 30: the fourth is refused, with its whole amount at risk.

What to do
    First look for a missing context: many of these interventions are exempt and only do not say so. Then check start,
    end and units.

Readings
    Minutes from start to end are whole minutes; equal times are none. Units below zero count as none. Without a context
    column exemptions cannot be seen, and the rule is not evaluable.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.findings import FindingGroup
from facnet_grpc.rules.interventions import PARAMETERS, find_interventions
from facnet_grpc.rules.parameters import named, numbers
from facnet_grpc.rules.table.claims import CLAIM_COLUMNS, Claims
from facnet_grpc.rules.table.groups import Groups

_SCENARIO = "daily_limit"


class ClinicalIntervention:
    """The rule."""

    info = RuleInfo(
        id="clinical_intervention",
        version="1",
        category="clinical_interventions",
        certainty=Certainty.CERTAIN,
        severities=(Severity.ERROR, Severity.WARNING),
        scenarios=(_SCENARIO,),
        needs=(),
        reads=("context",),
        source="P.G. 2.2.6 B",
        columns=CLAIM_COLUMNS,
        parameters=named(*PARAMETERS),
    )

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:  # noqa: ARG002 - part of the protocol
        """See the module."""
        claims = Claims(lines)
        found = find_interventions(claims)
        days = Groups.of(np.flatnonzero(found.counts), [claims.doctor, claims.day], [claims.start_order, claims.record])
        minutes = np.cumsum(found.minutes[days.rows])
        before = np.concatenate([[0], minutes])[days.starts[:-1]]
        so_far = minutes - np.repeat(before, days.sizes)
        limit = numbers("intervention_daily_minutes", claims.day[days.rows])
        beyond = np.zeros(len(claims), np.bool_)
        beyond[days.rows] = so_far > limit
        beyond[found.meetings.rows] = beyond[found.meetings.first][found.meetings.owner]
        exceeded = days.total(beyond) > 0
        over = days.filter(exceeded)
        affected = over.filter_rows(beyond[over.rows])
        total = over.total(found.minutes)
        allowed = numbers("intervention_daily_minutes", claims.day[over.first])
        finding_group = FindingGroup(
            _SCENARIO,
            Severity.ERROR,
            affected.first,
            affected,
            risk=affected,
            downgraded=affected.total(~claims.paid) == 0,
            facts={"limit": allowed, "minutes": total, "over": total - allowed, "lines": over.sizes},
        )
        return RuleFindings(findings.table(claims, [finding_group]), {_SCENARIO: int((~exceeded).sum())})
