"""How the values of a test are written, and what a test needs of a file."""

import pytest
from pydantic import TypeAdapter, ValidationError

from facnet_grpc.rules.checks.primitives.base import Codes, Text, Texts, Whole, WholeByCode
from facnet_grpc.rules.checks.primitives.combinations import MutualExclusion, Pair
from facnet_grpc.rules.checks.primitives.durations import DurationRange
from facnet_grpc.rules.checks.primitives.lines import RequiredField, Window

SETS = {"MINE": frozenset({"00001", "00002"})}
TEST = {"scenario": "one", "severity": "error"}

GOOD = [
    (Codes, ["@MINE", "00005", "00008..00009"], frozenset({"00001", "00002", "00005", "00008", "00009"})),
    (Whole, 3, 3),
    (Text, "85", "85"),
    (Texts, ["1", 2], ("1", "2")),
    (WholeByCode, {"00001": 4}, {"00001": 4}),
    (dict[str, Codes], {"00001": ["@MINE"]}, {"00001": SETS["MINE"]}),
    (tuple[Codes, ...], [["00001"], ["00002"]], (frozenset({"00001"}), frozenset({"00002"}))),
]
BAD = [
    (Codes, [], "must be a list of codes"),
    (Codes, ["@YOURS"], "there is no code set @YOURS"),
    (Whole, True, "valid integer"),
    (Whole, -1, "greater than or equal to 0"),
    (Whole, "3", "valid integer"),
    (Text, "", "is an empty text"),
    (Texts, [], "at least 1 item"),
    (Texts, "1", "valid tuple"),
    (Texts, [True], "valid string"),
    (WholeByCode, {}, "at least 1 item"),
    (WholeByCode, {"1": 4}, "'1' is no code: five digits"),
    (Pair, {"a": ["00001"]}, "Field required"),
    (Window, {"from": "07:00"}, "Field required"),
    (Window, {"from": "7", "to": "08:00"}, "a time is a text such as 07:00, not '7'"),
    (Window, {"from": "22:00", "to": "06:00"}, "one over midnight is two windows"),
    (Window, {"from": "06:00", "to": "07:00", "days": "Sunday"}, "'any', 'weekday' or 'off'"),
    (RequiredField, {**TEST, "primitive": "required_field", "columns": ["moon"]}, "'patient_key'"),
    (DurationRange, {**TEST, "primitive": "duration_range", "of": "groups"}, "of groups needs max"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), GOOD)
def test_values_that_can_be_read(kind, value, expected):
    assert TypeAdapter(kind).validate_python(value, context=SETS) == expected


@pytest.mark.parametrize(("kind", "value", "problem"), BAD)
def test_values_that_cannot(kind, value, problem):
    with pytest.raises(ValidationError, match=problem):
        TypeAdapter(kind).validate_python(value, context=SETS)


def test_a_window_reaches_to_the_end_of_the_day():
    window = Window.model_validate({"from": "19:00", "to": "24:00", "days": "off", "codes": ["@MINE"]}, context=SETS)

    assert (window.start, window.end, window.days, window.codes) == (68_400, 86_400, "off", SETS["MINE"])


def test_a_test_needs_the_columns_of_its_group_and_of_the_lines_that_it_selects():
    test = MutualExclusion.model_validate(
        TEST | {"primitive": "mutual_exclusion", "group": "doctor+patient+day+session", "a": ["00001"], "roles": [1]},
    )

    assert test.needs == ("patient_key", "role")
    assert test.reads == ("context",)
    assert "role" in test.columns
    assert "patient_name" not in test.columns
