"""A long visit that would pay more as a clinical intervention (visite ou intervention clinique).

What it checks
    An appointment or walk-in visit (15765-15780, 15801-15840) of 25 to 97 minutes, with start and end, may
    be billed as a clinical intervention instead: the first period of 30 minutes, and an additional one for every 15
    minutes more, the last one from 8 minutes on. In a cabinet that is 59.70 $ + n x 29.85 $, in an establishment
    49.75 $ + n x 24.87 $. If it is more than the visit's preliminary amount, and the doctor's interventions of that day
    leave room under 180 minutes, it is said.

Which visits
    Lines without an exempt context, at a known place, that are the only billed line of their doctor and patient that
    day, beside acts that may go with an intervention (08875, forms, travel, office fees and others).

Why
    Money that was earned and not claimed.

Source
    P.G. 2.2.6 B and the manual's tab B for the amounts (certain); that the act was an intervention is for the doctor to
    say (likely).

An example
    15801 in a cabinet from 9:00 to 10:00: 60 minutes are a first period and two more, 119.40 $ instead of 85.75 $.

What to do
    Ask the doctor whether the note supports a clinical intervention, and change the code before payment.

Readings
    Visits of one doctor and day are taken by gain, the largest first, then by record number; one that no longer fits
    into the 180 minutes is passed over, and a shorter one after it may still fit. A visit at an unknown place has no
    tariff and is left out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.findings import FindingGroup
from facnet_grpc.rules.interventions import FIRST_PERIOD, NEXT_PERIOD, PARAMETERS, find_interventions, is_exempt
from facnet_grpc.rules.parameters import named, numbers
from facnet_grpc.rules.table.arrays import Ints, Mask, mask_in_slices
from facnet_grpc.rules.table.claims import CLAIM_COLUMNS, Claims
from facnet_grpc.rules.table.groups import Groups

_SCENARIO = "advantageous"
_COMPANIONS = "intervention_companion_codes"
_SHORTEST, _LONGEST = 25, 97  # minutes
_LAST_PERIOD_FROM = 8  # minutes that make a last additional period
_TARIFFS = tuple(
    f"intervention_{period}_{place}_cents"
    for period in ("first", "additional")
    for place in ("cabinet", "establishment")
)


class VisitDuration:
    """The rule."""

    info = RuleInfo(
        id="visit_duration",
        version="1",
        category="visit_durations",
        certainty=Certainty.LIKELY,
        severities=(Severity.OPTIMIZATION,),
        scenarios=(_SCENARIO,),
        needs=("patient_key", "start_time", "end_time", "place"),
        reads=("context",),
        source="P.G. 2.2.6 B; manual, tab B",
        columns=CLAIM_COLUMNS,
        parameters=named("walk_in_visit_codes", "appointment_visit_codes", _COMPANIONS, *PARAMETERS, *_TARIFFS),
    )

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:  # noqa: ARG002 - part of the protocol
        """See the module."""
        claims = Claims(lines)
        visits = _visits(claims)
        periods = additional_periods(claims.minutes[visits])
        amount = _amounts(claims, visits, periods)
        gain = amount - claims.cents[visits]
        day, days = claims.doctor_day
        found = find_interventions(claims)
        used = np.zeros(days, np.int64)
        np.add.at(used, day[found.counts], found.minutes[found.counts])
        room = numbers("intervention_daily_minutes", claims.day[visits]) - used[day[visits]]
        worth = np.flatnonzero(gain > 0)
        order = worth[np.lexsort([claims.record[visits[worth]], -gain[worth], day[visits[worth]]])]
        chosen = order[_fitting(day[visits[order]], claims.minutes[visits[order]], room[order])]
        taken = Groups.single(visits[chosen])
        finding_group = FindingGroup(
            _SCENARIO,
            Severity.OPTIMIZATION,
            taken.rows,
            taken,
            gain_cents=gain[chosen],
            of_patient=True,
            facts={
                "minutes": claims.minutes[taken.rows],
                "periods": periods[chosen],
                "billed_cents": claims.cents[taken.rows],
                "amount_cents": amount[chosen],
                "used": used[day[taken.rows]],
                "limit": numbers("intervention_daily_minutes", claims.day[taken.rows]),
            },
        )
        return RuleFindings(findings.table(claims, [finding_group]), {_SCENARIO: len(visits) - len(chosen)})


def additional_periods(minutes: Ints) -> Ints:
    """Return the quarter-hours beyond the first 30 minutes; the last one counts from its 8th minute."""
    beyond = minutes - FIRST_PERIOD
    return np.where(beyond < _LAST_PERIOD_FROM, 0, (beyond + NEXT_PERIOD - _LAST_PERIOD_FROM) // NEXT_PERIOD)


def _visits(claims: Claims) -> Ints:
    visit = claims.has_code("walk_in_visit_codes") | claims.has_code("appointment_visit_codes")
    place = claims.in_cabinet | claims.in_establishment
    rows = np.flatnonzero(claims.billed & claims.has_patient & visit & place & ~is_exempt(claims))
    rows = rows[mask_in_slices(rows, lambda some: _is_long(claims.minutes[some]))]
    own, others = _meetings(claims, rows), np.sort(_meetings(claims, _of_same_patients(claims, rows)))
    same = np.searchsorted(others, own, "right") - np.searchsorted(others, own, "left")
    alone: Ints = rows[same == 1]
    return alone


def _is_long(minutes: Ints) -> Mask:
    return (minutes >= _SHORTEST) & (minutes <= _LONGEST)


def _of_same_patients(claims: Claims, rows: Ints) -> Ints:
    wanted = np.zeros(claims.size_of("patient_key") + 1, np.bool_)  # the last one is for lines without a patient
    wanted[claims.patient[rows]] = True
    return np.flatnonzero(claims.billed & wanted[claims.patient] & ~claims.has_code(_COMPANIONS))


def _meetings(claims: Claims, rows: Ints) -> Ints:
    """Return a number for each row's doctor, day and patient."""
    return claims.doctor_day[0][rows] * np.int64(claims.size_of("patient_key")) + claims.patient[rows]


def _amounts(claims: Claims, visits: Ints, periods: Ints) -> Ints:
    days, cabinet = claims.day[visits], claims.in_cabinet[visits]
    first, first_out, more, more_out = (numbers(name, days) for name in _TARIFFS)
    return np.where(cabinet, first + periods * more, first_out + periods * more_out)


def _fitting(day: Ints, minutes: Ints, room: Ints) -> Ints:
    """Return the positions to take, given candidates by day and preference: in each round the first that still fits.

    Every round takes one of each day that has any, so there are no more rounds than visits fit into a day.
    """
    taken = [np.zeros(0, np.int64)]
    left, waiting = room.copy(), np.arange(len(day))
    while len(waiting := waiting[minutes[waiting] <= left[waiting]]):
        first = np.diff(day[waiting], prepend=-1) != 0
        now, turn = waiting[first], np.cumsum(first) - 1
        left[waiting] -= minutes[now][turn]
        taken.append(now)
        waiting = waiting[~first]
    return np.sort(np.concatenate(taken))
