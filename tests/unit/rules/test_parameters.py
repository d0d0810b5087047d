"""Parameters: dated, chosen by service date, refused if they contradict themselves."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from facnet_grpc.rules.parameters import ParameterError, named, numbers, parameters, parse, values_on

TWO = """
[[parameter]]
name = "fee"
value = 200
unit = "cents"
source = "tests"
from = 2025-04-01

[[parameter]]
name = "fee"
value = 100
unit = "cents"
source = "tests"
to = 2025-03-31
"""


def days(*dates):
    return np.array([(date.fromisoformat(text) - date(1970, 1, 1)).days for text in dates], np.int64)


def test_a_value_is_chosen_by_day_of_service():
    values = values_on(parse(TWO)["fee"], days("1999-01-01", "2025-03-31", "2025-04-01", "2060-01-01"))
    assert values.tolist() == [100, 100, 200, 200]


def test_entries_are_in_order_of_time():
    assert [entry.value for entry in parse(TWO)["fee"]] == [100, 200]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('from = 2025-03-31\nsource = "tests"', "two values on 2025-03-31"),
        ('from = 2025-04-02\nto = 2025-04-01\nsource = "tests"', "ends before it begins"),
        ('from = 2026-01-01\nsource = ""', "no source"),
    ],
)
def test_contradictions_are_refused(entry, said):
    first = TWO.split("[[parameter]]")[2]
    text = f"[[parameter]]{first}\n[[parameter]]\nname = 'fee'\nvalue = 3\nunit = 'cents'\n{entry}"
    with pytest.raises(ParameterError, match=f"fee: .*{said}"):
        parse(text)


def test_ranges_of_codes_are_written_out():
    codes = {entry.name: entry.value for entry in named("walk_in_visit_codes", "appointment_visit_codes")}
    assert codes["walk_in_visit_codes"][0] == "15765"
    assert len(codes["walk_in_visit_codes"]) == 16
    assert len(codes["appointment_visit_codes"]) == 40


def test_what_is_shipped_can_be_read():
    assert parameters() is parameters()
    assert all(entry.unit in {"cents", "patients", "minutes", "codes", "contexts"} for entry in named(*parameters()))
    assert numbers("office_fee_19929_cents", days("2025-01-01")).tolist() == [6480]
