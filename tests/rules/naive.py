"""Every core rule once more: row by row, in plain Python, written from the rules' description and from nothing else.

Slow and simple on purpose, and sharing nothing with `facnet_grpc.rules`: where the two differ, one of them is wrong.
A finding is a tuple: rule, scenario, severity, affected records, doctor, patient, day, at risk, gain, risk by record.
"""

# ruff: noqa: C901, PLR0912, PLR0915 - a rule is told here as it is described, in one piece
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, time
from itertools import combinations
from typing import Any, NamedTuple

Row = dict[str, Any]

TAB_A = {
    "70017", "70018", "70019", "70020", "01098", "01099", "01100", "09099", "09791", "09996", "09998", "15232",
    "19055", "19953",
}  # fmt: skip
NOT_A_MEETING = TAB_A | {"08861", "08875", "08876", "08877", "15188", "15882"}
NOT_A_MEETING |= {"15894", "15895", "15898", "09970", "00013"}
NOT_A_MEETING |= {"15841", "15842", "15843", "15844", "15845", "15846", "15847", "15848", "15849"}
PEC = {"15801", "15802", "15815", "15816", "15821", "15822", "15835", "15836"}
PERIO = {"15819", "15820", "15839", "15840"}
FOLLOW = {"15823", "15824", "15837", "15838"}
FIRST = {"08857", "08858", "08866", "08867"}
MORE = {"08859", "08860", "08868", "08869"}
EXEMPT = {"ICEP", "ICSM", "ICTOX", "1713", "1714", "1715", "1716", "1771", "1772", "1818", "1819", "1923"}
PERIODIC_TARIFF = {
    ("15823", True): 9635, ("15823", False): 7265,
    ("15824", True): 11240, ("15824", False): 8480,
    ("15837", True): 11240, ("15837", False): 8480,
    ("15838", True): 12915, ("15838", False): 9730,
}  # fmt: skip


class Finding(NamedTuple):
    rule: str
    scenario: str
    severity: str
    affected: tuple[int, ...]
    doctor: str
    patient: str | None
    day: date | None
    at_risk: int
    gain: int
    risk: tuple[tuple[int, int], ...]


def tokens(row: Row) -> set[str]:
    return set((row["context"] or "").split(","))


def billed(row: Row) -> bool:
    return row["preliminary_cents"] > 0


def paid(row: Row) -> bool:
    return (row["paid_cents"] or 0) > 0


def at_cabinet(row: Row) -> bool:
    return bool(row["place"]) and row["place"][0] == "5"


def elsewhere(row: Row) -> bool:
    return bool(row["place"]) and row["place"][0] != "5"


def walk_in(row: Row) -> bool:
    return bool(tokens(row) & {"G160", "AR", "1911", "310", "11"})


def number(row: Row) -> int:
    return row["record_number"]


def by_start(row: Row) -> tuple[Any, ...]:
    return row["start_time"] is None, row["start_time"] or time.min, row["record_number"]


def by_date(row: Row) -> tuple[Any, ...]:
    return row["service_date"], row["record_number"]


def amount(row: Row) -> int:
    return row["preliminary_cents"]


def standing(rows: list[Row]) -> list[Row]:
    """Return the lines that count: without reversals, what they cancel, and what was refused and corrected since."""
    in_order = sorted(rows, key=number)
    alike = grouped(in_order, lambda row: (claim_of(row), amount(row)))
    cancelled: set[int] = set()
    for negative in in_order:
        if amount(negative) >= 0:
            continue
        same = alike.get((claim_of(negative), -amount(negative)), [])
        partners = [row for row in same if number(row) not in cancelled]
        earlier = [row for row in partners if number(row) < number(negative)]
        if partners:
            cancelled.add(number(earlier[-1] if earlier else partners[0]))
    left = [row for row in in_order if amount(row) > 0 and number(row) not in cancelled]
    on_invoice = grouped(left, lambda row: row["invoice"])
    return [row for row in left if not superseded(row, on_invoice[row["invoice"]])]


def superseded(row: Row, rows: list[Row]) -> bool:
    """Whether a line was refused, and the same invoice has the same act in a later payment period."""
    if paid(row) or not row["invoice"] or not row["payment_period"]:
        return False
    return any(
        claim_of(other) == claim_of(row) and (other["payment_period"] or "") > row["payment_period"] for other in rows
    )


def claim_of(row: Row) -> tuple[Any, ...]:
    return row["doctor_key"], row["patient_key"] or "", row["code"], row["service_date"]


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def day_of(row: Row) -> tuple[str, date]:
    return row["doctor_key"], row["service_date"]


def year_of(row: Row) -> int:
    return row["service_date"].year


def found(
    rule: str,
    scenario: str,
    severity: str,
    rows: list[Row],
    *,
    about: Row | None = None,
    risk: dict[int, int] | None = None,
    gain: int = 0,
    patient: bool = False,
) -> Finding:
    main = about or rows[0]
    return Finding(
        rule,
        scenario,
        severity,
        tuple(number(row) for row in rows),
        main["doctor_key"],
        main["patient_key"] if patient else None,
        main["service_date"],
        sum((risk or {}).values()),
        gain,
        tuple(sorted((risk or {}).items())),
    )


# ---- office_fee


PERMITTED = (
    [],
    [("19928", False)],
    [("19928", True)],
    [("19928", False), ("19928", True)],
    [("19929", False)],
    [("19929", True)],
)


def office_fee(rows: list[Row]) -> tuple[list[Finding], Counter[str]]:
    findings: list[Finding] = []
    passes: Counter[str] = Counter()
    for day_rows in grouped(filter(billed, rows), day_of).values():
        findings += office_day(sorted(day_rows, key=number), passes)
    return findings, passes


def office_day(rows: list[Row], passes: Counter[str]) -> list[Finding]:
    seen = {False: [0, 0], True: [0, 0]}  # walk-in? -> billed, paid
    visits = [
        row
        for row in rows
        if row["patient_key"] and not elsewhere(row) and row["code"] not in NOT_A_MEETING | {"19928", "19929"}
    ]
    for lines in grouped(visits, lambda row: row["patient_key"]).values():
        first = min(lines, key=by_start)
        side = walk_in(first) or 15765 <= int(first["code"]) <= 15780
        seen[side][0] += 1
        seen[side][1] += any(paid(row) for row in lines)
    least = {("19928", False): 6, ("19928", True): 10, ("19929", False): 12, ("19929", True): 20}

    def holds(code: str, side: bool, basis: int = 0) -> bool:
        return seen[side][basis] >= least[code, side]

    def name(side: bool) -> str:
        return "walk_in" if side else "registered"

    errors: list[Finding] = []
    fees = [row for row in rows if row["code"] in ("19928", "19929")]
    sides = {number(row): walk_in(row) for row in fees}
    warnings: list[Finding] = []
    placed = [row for row in fees if not elsewhere(row)]
    if not any(map(walk_in, placed)):
        for row in placed:
            if not holds(row["code"], side=False) and holds(row["code"], side=True):
                risk = {number(row): amount(row)}
                warnings.append(found("office_fee", "context_missing", "warning", [row], risk=risk))
                sides[number(row)] = True
                break
    standing: list[Row] = []
    for row in fees:
        side = sides[number(row)]
        if elsewhere(row):
            errors.append(found("office_fee", "place", "error", [row], risk={number(row): amount(row)}))
        elif not holds(row["code"], side):
            lost = amount(row)
            if row["code"] == "19929" and holds("19928", side):
                lost = max(0, lost - 3240)
            scenario = f"threshold_{row['code']}_{name(side)}"
            errors.append(found("office_fee", scenario, "error", [row], risk={number(row): lost}))
        else:
            standing.append(row)

    def permitted(fees: Iterable[Row]) -> bool:
        return sorted((row["code"], sides[number(row)]) for row in fees) in PERMITTED

    if not permitted(standing):
        subsets = [
            list(subset)
            for size in range(1, len(standing) + 1)
            for subset in combinations(standing, min(size, 2))
            if permitted(subset)
        ]
        best = max(
            subsets, key=lambda subset: (sum(map(amount, subset)), -min(map(number, subset)), -sum(map(number, subset)))
        )
        drop = [row for row in standing if row not in best]
        errors.append(found("office_fee", "ceiling", "error", drop, risk={number(row): amount(row) for row in drop}))
    if errors:
        return warnings + errors
    advice: list[Finding] = []
    if not fees:
        high = [side for side in (False, True) if holds("19929", side)]
        low = [side for side in (False, True) if holds("19928", side)]
        if low:
            gain = 6480 if high else 3240 * len(low)
            advice.append(found("office_fee", "missed", "optimization", [], about=rows[0], gain=gain))
        elif visits:
            passes["none_due"] += 1
        return advice
    if len(fees) == 1 and fees[0]["code"] == "19928":
        side = sides[number(fees[0])]
        if holds("19929", side):
            advice.append(found("office_fee", f"upgrade_{name(side)}", "optimization", fees, gain=3240))
        elif holds("19928", not side):
            advice.append(found("office_fee", f"second_fee_{name(not side)}", "optimization", fees, gain=3240))
    for row in fees:
        if paid(row) and not holds(row["code"], sides[number(row)], 1):
            risk = {number(row): amount(row)}
            advice.append(found("office_fee", "awaiting_payment", "warning", [row], risk=risk))
    passes["valid"] += not advice and not warnings
    return warnings + advice


# ---- annual_visit, gmf_supplement


def one_too_many(rule: str, scenario: str, rows: list[Row], *, error: bool) -> Finding:
    ordered = sorted(rows, key=by_date)
    kept = next((row for row in ordered if paid(row)), ordered[0])
    others = [row for row in ordered if row is not kept]
    affected = [others[0], *(row for row in ordered if row is not others[0])]
    risk = {number(row): amount(row) for row in others}
    return found(rule, scenario, "error" if error else "warning", affected, risk=risk, patient=True)


def covered(rows: list[Row], year: int) -> int:
    """Return the days from the first to the last service of a year, both included."""
    days = sorted(row["service_date"] for row in rows if year_of(row) == year)
    return (days[-1] - days[0]).days + 1


def annual_visit(rows: list[Row], today: date, whole_file: list[Row]) -> tuple[list[Finding], Counter[str]]:
    findings: list[Finding] = []
    passes: Counter[str] = Counter()
    rule = "annual_visit"
    counted = [row for row in rows if billed(row) and row["patient_key"]]
    for lines in grouped(counted, lambda r: (r["doctor_key"], r["patient_key"], year_of(r))).values():
        perio = [row for row in lines if row["code"] in PERIO]
        pec = [row for row in lines if row["code"] in PEC]
        follow = sorted((row for row in lines if row["code"] in FOLLOW and row["place"]), key=by_date)
        if len(perio) >= 2:
            error = sum(map(paid, perio)) >= 2
            findings.append(one_too_many(rule, "periodic_twice", perio, error=error))
        passes["periodic_twice"] += len(perio) == 1
        if perio and pec:
            error = any(map(paid, perio)) and any(map(paid, pec))
            findings.append(one_too_many(rule, "periodic_after_take_charge", perio + pec, error=error))
        passes["periodic_after_take_charge"] += bool(perio) and not pec
        year = year_of(lines[0])
        if len(follow) >= 2 and year >= today.year and covered(whole_file, year) >= 180:
            if perio or pec:
                passes["periodic_missing"] += 1
            else:
                gain = PERIODIC_TARIFF[follow[0]["code"], at_cabinet(follow[0])]
                findings.append(found(rule, "periodic_missing", "info", follow, gain=gain, patient=True))
    for lines in grouped(counted, lambda r: (r["doctor_key"], r["patient_key"])).values():
        pec = [row for row in lines if row["code"] in PEC]
        if len(pec) >= 2:
            paid_by_year = Counter(year_of(row) for row in pec if paid(row))
            error = any(count >= 2 for count in paid_by_year.values())
            findings.append(one_too_many(rule, "take_charge_twice", pec, error=error))
        passes["take_charge_twice"] += len(pec) == 1
    for lines in grouped(counted, lambda r: (r["patient_key"], year_of(r))).values():
        perio = [row for row in lines if row["code"] in PERIO]
        if len({row["doctor_key"] for row in perio}) >= 2:
            findings.append(one_too_many(rule, "periodic_other_doctor", perio, error=False))
        elif perio:
            passes["periodic_other_doctor"] += 1
    return findings, passes


def gmf_supplement(rows: list[Row], sites: set[str]) -> tuple[list[Finding], Counter[str]]:
    findings: list[Finding] = []
    passes: Counter[str] = Counter()
    counted = [row for row in rows if billed(row) and row["patient_key"]]
    for lines in grouped(counted, lambda r: (r["patient_key"], year_of(r))).values():
        claimed = [row for row in lines if row["code"] == "08875"]
        visits = [
            row
            for row in lines
            if (15801 <= int(row["code"]) <= 15840 or 8857 <= int(row["code"]) <= 8860)
            and row["place"] in sites
            and not tokens(row) & {"GAP", "GMFU", "G160", "AR", "1911", "MTA13"}
        ]
        if len(claimed) >= 2:
            error = any(map(paid, claimed))
            findings.append(one_too_many("gmf_supplement", "duplicate", claimed, error=error))
        passes["duplicate"] += len(claimed) == 1
        if visits and not claimed:
            first = min(visits, key=by_date)
            findings.append(found("gmf_supplement", "missed", "optimization", [first], gain=935, patient=True))
        passes["missed"] += bool(visits and claimed)
    return findings, passes


# ---- clinical_intervention, visit_duration


def duration(row: Row) -> int | None:
    if row["start_time"] is None or row["end_time"] is None:
        return None
    start = row["start_time"].hour * 60 + row["start_time"].minute
    end = row["end_time"].hour * 60 + row["end_time"].minute
    return end - start if end >= start else end - start + 24 * 60


def exempt(row: Row) -> bool:
    return bool(tokens(row) & EXEMPT) or ("1834" in tokens(row) and row["service_date"] <= date(2022, 5, 14))


def counts_against_maximum(row: Row) -> bool:
    return billed(row) and row["code"] in FIRST | MORE and not exempt(row)


def intervention_minutes(row: Row) -> int:
    timed = duration(row)
    if timed is not None:
        return timed
    if row["code"] in FIRST:
        return 30
    units = row["units"] or 0
    if units >= 8:
        return units
    return 15 * units if units >= 1 else 15


def meetings(lines: list[Row]) -> list[list[Row]]:
    """Return the lines of each intervention: those of a collective one with the same code and times belong together."""

    def meeting(row: Row) -> Any:
        if row["code"] in {"08866", "08867", "08868", "08869"} and duration(row) is not None:
            return row["code"], row["start_time"], row["end_time"]
        return number(row)

    return list(grouped(sorted(lines, key=by_start), meeting).values())


def clinical_intervention(rows: list[Row]) -> tuple[list[Finding], Counter[str]]:
    findings: list[Finding] = []
    passes: Counter[str] = Counter()
    for lines in grouped(filter(counts_against_maximum, rows), day_of).values():
        total = 0
        beyond: list[Row] = []
        for meeting in sorted(meetings(lines), key=lambda meeting: by_start(meeting[0])):
            total += intervention_minutes(meeting[0])
            if total > 180:
                beyond += meeting
        beyond.sort(key=by_start)
        if beyond:
            severity = "warning" if all(map(paid, beyond)) else "error"
            risk = {number(row): amount(row) for row in beyond}
            findings.append(found("clinical_intervention", "daily_limit", severity, beyond, risk=risk))
        else:
            passes["daily_limit"] += 1
    return findings, passes


def pays_as_intervention(minutes: int, *, cabinet: bool) -> int:
    periods = 0
    if minutes >= 38:
        periods, rest = divmod(minutes - 30, 15)
        periods += rest >= 8
    return 5970 + periods * 2985 if cabinet else 4975 + periods * 2487


WITH_INTERVENTION = {
    1098, 1099, 1100, 8877, 15144, 15145, 15158, 15159, 15169, 15170, 15171, 15189, 19074, 8875, 13, 14, 15234, 9800,
    9817, 9825, 9826, 15265, 15795, 15796, 15797, 19928, 19929, 8861, 8876,
}  # fmt: skip


def goes_with_intervention(row: Row) -> bool:
    return int(row["code"]) in WITH_INTERVENTION or 9901 <= int(row["code"]) <= 9980


def visit_duration(rows: list[Row]) -> tuple[list[Finding], Counter[str]]:
    findings: list[Finding] = []
    passes: Counter[str] = Counter()
    for lines in grouped(filter(billed, rows), day_of).values():
        counting = [row for row in lines if counts_against_maximum(row)]
        left = 180 - sum(intervention_minutes(meeting[0]) for meeting in meetings(counting))
        alone = Counter(row["patient_key"] for row in lines if not goes_with_intervention(row))
        candidates = []
        for row in lines:
            code, minutes = int(row["code"]), duration(row)
            visit = 15765 <= code <= 15780 or 15801 <= code <= 15840
            if not visit or minutes is None or not 25 <= minutes <= 97 or exempt(row):
                continue
            if not row["patient_key"] or alone[row["patient_key"]] > 1 or not row["place"]:
                continue
            gain = pays_as_intervention(minutes, cabinet=at_cabinet(row)) - amount(row)
            candidates.append((gain, row, minutes))
        for gain, row, minutes in sorted(candidates, key=lambda c: (-c[0], number(c[1]))):
            if gain > 0 and minutes <= left:
                left -= minutes
                findings.append(found("visit_duration", "advantageous", "optimization", [row], gain=gain, patient=True))
            else:
                passes["advantageous"] += 1
    return findings, passes
