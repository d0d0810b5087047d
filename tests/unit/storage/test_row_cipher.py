"""Columns of bytes that are text again only with their key, at their place."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.errors import FacnetError
from facnet_grpc.storage.postgres.column_encryption import RowCipher, decode_hex

CIPHER = RowCipher(b"k" * 32)
TEXT = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=90)


def rows(count, start=0):
    return pa.array(range(start, start + count), pa.int32())


@given(st.lists(TEXT, max_size=20), st.integers(0, 2**31 - 30), st.integers(0, 3), st.integers(0, 3))
def test_what_is_sealed_opens_as_it_was(texts, start, skip, more):
    whole, numbers = pa.array(texts, pa.string()), rows(len(texts), start)
    sealed = CIPHER.encrypt(whole.slice(skip), 1, numbers.slice(skip))
    assert CIPHER.decrypt(sealed, 1, numbers.slice(skip)).to_pylist() == texts[skip:]
    part = CIPHER.decrypt(sealed.slice(more), 1, numbers.slice(skip + more))
    assert part.to_pylist() == texts[skip + more :]
    for value, row, text in zip(sealed.to_pylist(), numbers.to_pylist()[skip:], texts[skip:], strict=True):
        assert value is None if text is None else CIPHER.decrypt_one(value, 1, row) == text


@given(st.lists(TEXT, max_size=20), st.integers(0, 20))
def test_batches_do_not_matter_but_for_the_padding(texts, cut):
    whole = CIPHER.encrypt(pa.array(texts, pa.string()), 1, rows(len(texts)))
    parts = [
        CIPHER.encrypt(pa.array(part, pa.string()), 1, rows(len(part), start))
        for part, start in ((texts[:cut], 0), (texts[cut:], cut))
    ]
    for value, other in zip(whole.to_pylist(), pa.concat_arrays(parts).to_pylist()[: len(texts)], strict=False):
        assert value is None if other is None else value.startswith(other) or other.startswith(value)


def test_every_place_is_encrypted_in_another_way():
    same = pa.array(["TREM12345678"] * 1000)
    first, second = (CIPHER.encrypt(same, column, rows(1000)) for column in (1, 2))
    other = RowCipher(b"l" * 32).encrypt(same, 1, rows(1000))
    every = pa.concat_arrays([first, second, other])
    blocks = pc.binary_slice(every, 0, 8)  # what was the same text
    assert len(blocks.unique()) == 3000


def test_a_long_value_does_not_make_the_others_long():
    sealed = CIPHER.encrypt(pa.array(["A", "x" * 70_000, None]), 1, rows(3))
    assert pc.binary_length(sealed).to_pylist() == [8, 70_000, None]
    assert pc.binary_length(CIPHER.decrypt(sealed, 1, rows(3)).cast(pa.binary())).to_pylist() == [1, 70_000, None]


@pytest.mark.parametrize("wrong", [(1, 8, b"k"), (2, 7, b"k"), (1, 7, b"l")], ids=["row", "column", "key"])
def test_elsewhere_it_is_no_text_and_no_error_shows_it(wrong):
    column, row, key = wrong
    sealed = CIPHER.encrypt(pa.array(["TREMBLAY, MARIE-ÈVE ET COMPAGNIE"]), 1, rows(1, 7))
    other = RowCipher(key * 32)
    for read in (
        lambda: other.decrypt(sealed, column, rows(1, row)),
        lambda: other.decrypt_one(sealed[0].as_py(), column, row),
    ):
        with pytest.raises(FacnetError) as caught:
            read()
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


@given(st.lists(st.none() | st.binary(max_size=9), max_size=9), st.integers(0, 9))
def test_bytes_that_come_as_digits(values, skip):
    texts = pa.array([None if value is None else value.hex() for value in values], pa.string())
    assert decode_hex(texts.slice(skip)).to_pylist() == values[skip:]
