"""A few seconds of what `make fuzz` does for as long as one likes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from reader_target import HEADER, LINE, check

PIECES = (
    *(b'"', b'""', b";", b",", b"\t", b"\r", b"\n", b"\r\n", b"\0", b" ", b"Total"),
    *(b"\xe9", b"\xc3\xa9", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"),
    *(b"2025-02-26", b"26/02/2025", b"15804", b"47,05", b"1234567-1 | A, B - C"),
    *(LINE, LINE.rstrip(), HEADER, HEADER.replace(b";", b",")),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(how=st.integers(0, 255), pieces=st.lists(st.sampled_from(PIECES), max_size=30))
def test_pieces_of_claim_files(how, pieces):
    check(bytes([how]) + b"".join(pieces))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes(data):
    check(data)
