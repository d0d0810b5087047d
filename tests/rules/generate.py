"""Random claim tables that come close to the rules' edges: thresholds, maxima, years, repeated and unpaid visits."""

from __future__ import annotations

import random
from datetime import date, time, timedelta
from typing import Any

from tests.rules.tables import DEFAULTS

Row = dict[str, Any]

REFUSED = "202508"  # payment period of lines that were refused
PLACES = ("55433", "55433", "56002", "55390", "00878", "20123", None)
DAYS = (
    date(2022, 5, 14),
    date(2022, 5, 15),
    date(2024, 12, 30),
    date(2024, 12, 31),
    date(2025, 1, 1),
    date(2025, 3, 3),
    date(2025, 11, 4),
)
CONTEXTS = (
    None,
    None,
    None,
    "G160",
    "AR",
    "1911",
    "310",
    "11",
    "CARD",
    "G160,85",
    "GAP",
    "1713",
    "ICEP,AR",
    "1834",
    "MTA13",
    "XICEP",
)
VISITS = ("15765", "15780", "15781", "15803", "15804", "08857", "99999", "15801")
NO_VISITS = ("15894", "15895", "15898", "09970", "00013", "08861", "08875", "15841", "15849", "70017", "09791")
ANNUAL = ("15819", "15820", "15839", "15840", "15801", "15802", "15836", "15823", "15824", "15837", "15838", "08875")
INTERVENTIONS = ("08857", "08858", "08859", "08860", "08866", "08869", "08841", "08843")
TIMED = ("15765", "15780", "15781", "15801", "15804", "15824", "15825", "15835", "15840")


def generate(seed: int) -> list[Row]:
    """Return the lines of a few doctors, numbered; every third table is paid, unpaid or mixed throughout."""
    chance = random.Random(seed)
    pay = (1.0, 0.5, 0.0)[seed % 3]
    rows: list[Row] = []
    for doctor in range(1, chance.randint(2, 4)):
        for day in chance.sample(DAYS, chance.randint(1, 4)):
            rows += _office_day(chance, f"100000{doctor}", day)
            rows += _interventions(chance, f"100000{doctor}", day)
            rows += _meetings(chance, f"100000{doctor}", day)
            rows += _long_visits(chance, f"100000{doctor}", day)
        rows += _annual(chance, f"100000{doctor}")
    rows += _reversals(chance, rows)
    rows += _corrections(chance, rows)
    chance.shuffle(rows)
    for number, row in enumerate(rows, 1):
        row["record_number"] = number
        row["ramq_id"] = f"{number:011}"
        row["paid_cents"] = 0 if row["payment_period"] == REFUSED else _paid(chance, row["preliminary_cents"], pay)
    return rows


def _reversals(chance: random.Random, rows: list[Row]) -> list[Row]:
    """Take back some lines, a few of them several times."""
    taken = chance.choices(rows, k=len(rows) // 8) if rows else []
    return [{**row, "preliminary_cents": -row["preliminary_cents"]} for row in taken]


def _corrections(chance: random.Random, rows: list[Row]) -> list[Row]:
    """Refuse some lines, and bill them again: mostly in a later period, on the same invoice."""
    again: list[Row] = []
    for number, row in enumerate(chance.sample(rows, len(rows) // 8)):
        row["invoice"], row["payment_period"] = f"{600_000_000 + number}", REFUSED
        invoice = chance.choice((row["invoice"], row["invoice"], row["invoice"], None, "700000000"))
        again.append({**row, "invoice": invoice, "payment_period": chance.choice(("202510", "202510", REFUSED, None))})
    return again


def _paid(chance: random.Random, cents: int, share: float) -> int | None:
    if chance.random() < share:
        return cents
    return chance.choice((0, None))


def _row(doctor: str, day: date, **values: Any) -> Row:
    return {**DEFAULTS, "doctor_key": doctor, "service_date": day, **values}


def _cents(chance: random.Random, usual: int) -> int:
    return chance.choice((usual, usual, usual, usual, usual, usual, usual - 7, 0, -usual))


def _time(chance: random.Random) -> time | None:
    return chance.choice((None, time(0, 0), time(9, 5), time(9, 30), time(13, 0), time(23, 50)))


def _office_day(chance: random.Random, doctor: str, day: date) -> list[Row]:
    rows = []
    registered = chance.choice((0, 3, 5, 6, 7, 11, 12, 13))
    walk_in = chance.choice((0, 4, 9, 10, 11, 19, 20, 21))
    for patient in range(registered + walk_in):
        context = None if patient < registered else chance.choice(("G160", "AR", "85,AR"))
        usual = {"patient_key": f"OFFI{patient:08}", "context": context, "start_time": _time(chance)}
        rows.append(_row(doctor, day, code=chance.choice(VISITS[2:5]), **usual))
        while chance.random() < 0.2:
            code = chance.choice(VISITS + NO_VISITS)
            extra = {"context": chance.choice(CONTEXTS), "place": chance.choice(PLACES)}
            cents = _cents(chance, 3000)
            rows.append(_row(doctor, day, **{**usual, **extra}, code=code, preliminary_cents=cents))
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 2, 3, 4))):
        code, usual_cents = chance.choice((("19928", 3240), ("19929", 6480)))
        place = "20123" if chance.random() < 0.08 else chance.choice(("55433", None))
        context = chance.choice((None, None, "G160", "AR", "CARD"))
        rows.append(
            _row(doctor, day, code=code, place=place, context=context, preliminary_cents=_cents(chance, usual_cents))
        )
    return rows


def _interventions(chance: random.Random, doctor: str, day: date) -> list[Row]:
    rows = []
    for _ in range(chance.choice((0, 0, 1, 3, 5, 8))):
        start = _time(chance)
        end = (
            chance.choice((None, start, time(0, 10), time(9, 45), time(10, 35), time(14, 0)))
            if chance.random() < 0.5
            else None
        )
        rows.append(
            _row(
                doctor,
                day,
                code=chance.choice(INTERVENTIONS),
                patient_key=chance.choice((None, "INTE00000001", "INTE00000002", "OFFI00000001")),
                context=chance.choice((None, None, None, *CONTEXTS)),
                start_time=start,
                end_time=end,
                units=chance.choice((None, 0, 1, 2, 7, 8, 45, -1)),
                preliminary_cents=_cents(chance, 5970),
                place=chance.choice(PLACES),
            )
        )
    return rows


def _meetings(chance: random.Random, doctor: str, day: date) -> list[Row]:
    """Collective interventions: a line for each patient, some of which say other times."""
    rows = []
    for _ in range(chance.choice((0, 0, 1, 2))):
        start = chance.choice((time(8), time(9), time(9, 30)))
        for patient in range(chance.randint(2, 5)):
            end = chance.choice((time(9, 45), time(9, 45), time(9, 45), time(11), None))
            values = {"code": chance.choice(("08866", "08866", "08868")), "patient_key": f"MEET{patient:08}"}
            rows.append(_row(doctor, day, start_time=start, end_time=end, preliminary_cents=5970, **values))
    return rows


def _long_visits(chance: random.Random, doctor: str, day: date) -> list[Row]:
    rows = []
    for patient in range(chance.choice((0, 0, 2, 6))):
        start = time(chance.randint(0, 23), chance.choice((0, 10, 50)))
        length = chance.choice((24, 25, 37, 38, 52, 53, 67, 68, 82, 83, 97, 98, 40, 60))
        minutes = (start.hour * 60 + start.minute + length) % 1440
        row = _row(
            doctor,
            day,
            code=chance.choice(TIMED),
            patient_key=chance.choice((f"LONG{patient:08}", f"LONG{patient:08}", "OFFI00000001", None)),
            context=chance.choice((None, None, None, *CONTEXTS)),
            start_time=start,
            end_time=time(minutes // 60, minutes % 60),
            preliminary_cents=_cents(chance, chance.choice((2040, 4000, 8575, 11940, 17910))),
            place=chance.choice(PLACES),
        )
        rows += [row] * chance.choice((1, 1, 1, 2))
    return [dict(row) for row in rows]


def _annual(chance: random.Random, doctor: str) -> list[Row]:
    rows = []
    for patient in range(chance.randint(0, 12)):
        for _ in range(chance.choice((1, 2, 3, 5))):
            day = chance.choice(DAYS) + timedelta(days=chance.choice((0, 0, 1)))
            rows.append(
                _row(
                    doctor,
                    day,
                    code=chance.choice(ANNUAL),
                    patient_key=chance.choice((f"ANNU{patient:08}", f"ANNU{patient:08}", None)),
                    context=chance.choice(CONTEXTS),
                    preliminary_cents=_cents(chance, 9635),
                    place=chance.choice(PLACES),
                )
            )
    return rows
