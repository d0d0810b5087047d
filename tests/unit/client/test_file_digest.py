"""The SHA-256 of a file that is sent in pieces, some of them more than once."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from facnet_client.source import FileDigest, open_source

DATA = os.urandom(1000)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(data: bytes = DATA) -> FileDigest:
    return FileDigest(open_source(io.BytesIO(data)))


@given(breaks=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 300)), max_size=8))
def test_however_often_parts_are_sent_again_each_byte_counts_once(breaks: list[tuple[int, int]]) -> None:
    made, sent = digest(), 0
    for back, size in [*breaks, (0, 1000)]:
        at = max(sent - back, 0)  # where the server says to go on
        while at < min(sent + size, 1000):
            made.update(at, DATA[at : at + 64])
            at = min(at + 64, 1000)
        sent = max(sent, at)
    assert made.hexdigest() == sha256(DATA)


@given(offset=st.integers(0, 1000))
def test_what_another_program_has_sent_is_read(offset: int) -> None:
    made = digest()
    made.catch_up(offset)
    assert made.hexdigest() == sha256(DATA[:offset])
    made.update(offset, DATA[offset:])
    assert made.hexdigest() == sha256(DATA)


def test_a_file_that_ends_before_is_what_it_is() -> None:
    made = digest(DATA[:10])
    made.catch_up(500)
    assert made.hexdigest() == sha256(DATA[:10])


def test_bytes_that_do_not_follow_are_not_taken() -> None:
    made = digest()
    made.update(10, DATA[10:20])
    assert made.hexdigest() == sha256(b"")


def test_two_streams_may_hand_over_the_same_bytes_at_once() -> None:
    data = os.urandom(4 << 20)
    made = digest(data)

    def send(_: int) -> None:
        for at in range(0, len(data), 1 << 16):
            made.update(at, data[at : at + (1 << 16)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    assert made.hexdigest() == sha256(data)
