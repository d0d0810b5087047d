"""Columns hold what was put in, whatever the cut, in as little room as it takes."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from facnet_grpc.rules.table import arrays
from facnet_grpc.rules.table.columns import DictionaryBuilder, DigitsBuilder, ValueBuilder


def grown(column, values, kind, cut):
    for start in range(0, len(values), cut):
        column.add(pa.array(values[start : start + cut], kind))
    return column.finish()


@pytest.mark.parametrize(
    ("least", "most", "kind"),
    [
        (-128, 127, pa.int8()),
        (0, 128, pa.int16()),
        (-(1 << 15), 0, pa.int16()),
        (0, 1 << 15, pa.int32()),
        (-(1 << 31) - 1, 0, pa.int64()),
        (None, None, pa.int8()),
    ],
)
def test_numbers_take_the_room_of_the_largest(least, most, kind):
    values = [5, None, least, 7, most]
    values = values if least is not None else [None]
    for cut in (1, 2, 5):
        grown_column = grown(ValueBuilder(pa.int64(), narrow=True), values, pa.int64(), cut)
        assert (grown_column.type, grown_column.to_pylist()) == (kind, values)


@pytest.mark.parametrize(
    "values", [["001", None, "400000001", "0"], ["9" * 18], ["1" * 19, "1"], ["1", "-1"], ["", "1"]]
)
@pytest.mark.parametrize("cut", [1, 4])
def test_digits_come_back_as_they_were(values, cut):
    column = grown(DigitsBuilder(), values, pa.string(), cut)
    assert arrays.unpack(column).to_pylist() == values


def test_digits_are_numbers_and_anything_else_is_text():
    assert grown(DigitsBuilder(), ["400000001"], pa.string(), 1).type == pa.int32()
    assert grown(DigitsBuilder(), ["20000000018"], pa.string(), 1).type == pa.int64()
    assert grown(DigitsBuilder(), ["1", "\u0661"], pa.string(), 1).type == pa.string()  # an Arabic 1 is no digit here


@pytest.mark.parametrize(("distinct", "cut"), [(40, 700), (3_000, 200), (3_000, 2_100), (3_000, 6_000)])
def test_words_are_numbered_by_first_appearance(distinct, cut):
    builder = DictionaryBuilder(max_dict_texts=1 << 10, block_rows=1_000, partition_rows=500)
    draw = random.Random(1)
    values = [draw.choice([None, "", "é", f"N{draw.randrange(distinct)}"]) for _ in range(6_000)]
    column = grown(builder, values, pa.string(), cut)
    assert column.to_pylist() == values
    assert column.dictionary.to_pylist() == [text for text in dict.fromkeys(values) if text is not None]
