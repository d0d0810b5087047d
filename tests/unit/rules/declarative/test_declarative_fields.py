"""How the values of a pack are written."""

import pytest

from facnet_grpc.rules.checks import fields
from facnet_grpc.rules.checks.primitives.base import Field

SETS = {"MINE": frozenset({"00001", "00002"})}

GOOD = [
    ("codes", ["@MINE", "00005", "00008..00009"], frozenset({"00001", "00002", "00005", "00008", "00009"})),
    ("code_lists", [["00001"], ["00002"]], (frozenset({"00001"}), frozenset({"00002"}))),
    ("pairs", [{"a": ["00001"], "b": ["@MINE"]}], ((frozenset({"00001"}), SETS["MINE"]),)),
    ("int", 3, 3),
    ("bool", True, True),
    ("text", "85", "85"),
    ("texts", ["1", 2], ("1", "2")),
    ("numbers", [1, 2], (1, 2)),
    ("numbers_by_code", {"00001": 4}, {"00001": 4}),
    ("codes_by_code", {"00001": ["@MINE"]}, {"00001": SETS["MINE"]}),
    ("code_by_code", {"00001": "00002"}, {"00001": "00002"}),
    ("columns", ["units"], ("units",)),
]

BAD = [
    ("pairs", [{"a": ["00001"]}], "a pair is a table with a and b"),
    ("int", True, "a whole number is wanted, not True"),
    ("bool", 1, "true or false is wanted, not 1"),
    ("text", "", "a text is wanted, not ''"),
    ("texts", [], "a list of texts is wanted"),
    ("numbers_by_code", {}, "a table by code is wanted"),
    ("numbers_by_code", {"1": 4}, "'1' is no code: five digits"),
    ("columns", ["moon"], "there is no column 'moon'"),
    ("windows", [{"from": "07:00"}], "a window has from, to"),
    ("windows", [{"from": "7", "to": "08:00"}], "a time is a text such as 07:00, not '7'"),
    ("windows", [{"from": "22:00", "to": "06:00"}], "a window ends after it begins; one over midnight is two windows"),
    (
        "windows",
        [{"from": "06:00", "to": "07:00", "days": "Sunday"}],
        "one of any, weekday, off is wanted, not 'Sunday'",
    ),
]


@pytest.mark.parametrize(("kind", "value", "expected"), GOOD)
def test_values_that_can_be_read(kind, value, expected):
    assert fields.read(Field(kind), value, SETS) == expected


@pytest.mark.parametrize(("kind", "value", "sentence"), BAD)
def test_values_that_cannot(kind, value, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        fields.read(Field(kind), value, SETS)


def test_a_window_reaches_to_the_end_of_the_day():
    (window,) = fields.read(
        Field("windows"), [{"from": "19:00", "to": "24:00", "days": "off", "codes": ["@MINE"]}], SETS
    )

    assert (window.start, window.end, window.days, window.codes) == (68_400, 86_400, "off", SETS["MINE"])
