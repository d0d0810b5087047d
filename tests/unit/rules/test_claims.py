"""The shared words: what is billed, paid, walk-in, in a cabinet; how texts are asked about."""

from __future__ import annotations

from datetime import date, time

import numpy as np
import pyarrow as pa
import pytest

from facnet_grpc.model.billing import DICT, RULE_SCHEMA
from facnet_grpc.rules.table.arrays import dense
from facnet_grpc.rules.table.claims import Claims
from tests.rules.tables import lines


def test_billed_and_paid_are_above_zero():
    claims = Claims(
        lines(
            [
                {"preliminary_cents": 1, "paid_cents": 0},
                {"preliminary_cents": 0, "paid_cents": None},
                {"preliminary_cents": -1, "paid_cents": 1},
                {"preliminary_cents": 5, "paid_cents": -5},
            ]
        )
    )
    assert claims.billed.tolist() == [True, False, False, True]
    assert claims.paid.tolist() == [False, False, True, False]


def test_contexts_are_whole_tokens():
    texts = [None, "", "AR", "CARD", "85,AR", "AR,85", "G160", "G1600", "XG160,AR2"]
    claims = Claims(lines({"context": text} for text in texts))
    assert claims.has_context("walk_in_contexts").tolist() == [
        False,
        False,
        True,
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_cabinet_is_a_place_from_50000_on():
    claims = Claims(lines({"place": place} for place in ("55433", "00528", "20123", None, "")))
    assert claims.in_cabinet.tolist() == [True, False, False, False, False]
    assert claims.in_establishment.tolist() == [False, True, True, False, False]
    assert claims.at_place(lambda place: place == "00528").tolist() == [False, True, False, False, False]


def test_an_empty_patient_is_none():
    claims = Claims(lines({"patient_key": key} for key in ("AAAA00000001", "", None, "AAAA00000001")))
    assert claims.has_patient.tolist() == [True, False, False, True]
    assert claims.patient[0] == claims.patient[3]
    assert not claims.is_empty("patient_key")
    assert Claims(lines([{"patient_key": ""}])).is_empty("patient_key")
    assert Claims(lines([{}])).is_empty("start_time")


def test_a_dictionary_may_hold_a_missing_value_itself():
    table = lines([{"place": "55433"}, {"place": "55433"}])
    place = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array([None, "55433"])).cast(DICT)
    table = table.set_column(RULE_SCHEMA.get_field_index("place"), RULE_SCHEMA.field("place"), place)
    assert Claims(table).in_cabinet.tolist() == [False, True]
    assert Claims(table).in_establishment.tolist() == [False, False]


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        (time(9), time(9, 30), 30),
        (time(23, 50), time(0, 10), 20),
        (time(9), time(9), 0),
        (time(9, 0, 0), time(9, 0, 59), 0),
        (time(9, 0, 30), time(9, 1, 30), 1),
        (time(9), None, -1),
        (None, time(9), -1),
    ],
)
def test_minutes(start, end, minutes):
    assert Claims(lines([{"start_time": start, "end_time": end}])).minutes[:].tolist() == [minutes]


def test_years_are_calendar_years():
    dates = (date(1969, 12, 31), date(2024, 12, 31), date(2025, 1, 1), date(9999, 12, 31))
    claims = Claims(lines({"service_date": day} for day in dates))
    assert claims.year[:].tolist() == [1969, 2024, 2025, 9999]


def test_a_set_that_ended_holds_until_then():
    claims = Claims(
        lines(
            [
                {"context": "1834", "service_date": date(2022, 5, 14)},
                {"context": "1834", "service_date": date(2022, 5, 15)},
                {"context": "ICEP", "service_date": date(2022, 5, 15)},
            ]
        )
    )
    assert claims.has_context("intervention_exempt_contexts").tolist() == [True, False, True]


@pytest.mark.parametrize("bound", [10, 10**12])
def test_dense_numbers_keep_the_order_of_keys(bound):
    numbers, count = dense(np.array([7, 3, 9, 3]), 4, bound)
    assert numbers.tolist() == [1, 0, 2, 0]
    assert count == 3


def test_doctor_days_far_apart():
    claims = Claims(
        lines(
            {"doctor_key": doctor, "service_date": day}
            for doctor, day in [
                ("2", date(1, 1, 1)),
                ("1", date(9999, 12, 31)),
                ("2", date(9999, 12, 31)),
                ("2", date(1, 1, 1)),
            ]
        )
    )
    numbers, count = claims.doctor_day
    assert count == 3
    assert numbers[0] == numbers[3]


def test_no_lines():
    claims = Claims(RULE_SCHEMA.empty_table())
    assert len(claims) == 0
    assert claims.is_empty("context")
    assert claims.doctor_day[1] == 0
    assert claims.minutes[:].tolist() == claims.has_context("walk_in_contexts").tolist() == []
