"""What is read at once is read as cell by cell."""

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.ingest import casts, values
from facnet_grpc.ingest.casts import DictionaryCast, PatientCast, UniformCast, cast_text
from facnet_grpc.ingest.source import SMALL_BYTES, fetched_once

CLOCKS = st.one_of(st.from_regex(r"[0-2][0-9]:[0-6][0-9]", fullmatch=True), st.just(""))
CODES = st.one_of(st.from_regex(r"[0-9]{5}", fullmatch=True), st.just(""))
NAMS = st.from_regex(r"[A-Z]{4}[0-9]{8}", fullmatch=True)
PATIENTS = st.one_of(st.builds("{} - {}".format, NAMS, st.text("ABÉÜ -,\u3000", min_size=1)), st.just(""))
ODD = st.sampled_from(
    ["9:30", " 09:30", "24:00", "12345 ", "#123", "é2345", "12:3x", "é", "\u00a0", "TREAXXXX0113 - A, B", "x"]
)


def slow(parse, *types):
    return DictionaryCast(parse, *types)


# What is usual, how it is read cell by cell and all at once.
KINDS = {
    "clock": (CLOCKS, (values.seconds, pa.int32()), lambda *how: UniformCast(casts.clocks, slow(*how))),
    "code": (CODES, (values.code, pa.string()), lambda *how: UniformCast(casts.codes, slow(*how))),
    "place": (CODES, (values.place, pa.string()), lambda *how: UniformCast(casts.codes, slow(*how))),
    "patient": (PATIENTS, (values.patient, pa.string(), pa.string()), lambda *_: PatientCast()),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_all_at_once_is_as_cell_by_cell(kind, data):
    usual, how, quick = KINDS[kind]
    cells = data.draw(st.lists(usual) | st.lists(usual | ODD))
    skipped = data.draw(st.integers(0, len(cells)))
    column = pa.array(cells, pa.string())[skipped:]
    found, wanted = quick(*how)(column), slow(*how)(column)
    for one, other in zip(found.columns, wanted.columns, strict=True):
        one.validate(full=True)
        assert one.to_pylist() == other.to_pylist()
    if kind != "patient":  # nobody asks for a patient's states
        assert (found.states is None) == (wanted.states is None)
        assert found.states is None or found.states.tolist() == wanted.states.tolist()


@given(cells=st.lists(st.text("a é\u00a0")), skipped=st.integers(0, 3))
def test_texts_are_trimmed_and_empty_ones_null(cells, skipped):
    (column,) = cast_text(pa.array(cells, pa.string())[skipped:]).columns
    column.validate(full=True)
    assert column.to_pylist() == [cell.strip() or None for cell in cells[skipped:]]


@pytest.mark.parametrize(("size", "times"), [(10, 1), (SMALL_BYTES + 1, 2)])
def test_only_a_small_file_is_kept(size, times):
    opened = []

    def open_source():
        opened.append(io.BytesIO(bytes(size)))
        return opened[-1]

    source = fetched_once(open_source, size)
    for _ in range(2):
        with source() as file:
            assert file.read() == bytes(size)
    assert len(opened) == times
    assert all(file.closed for file in opened)
