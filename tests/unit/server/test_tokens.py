"""Tokens come back as they went out, and nothing else does."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.errors import InvalidInput, Reason
from facnet_grpc.server.paging import Cursor, number_position, number_token, page_token, uuid_position

RUN = UUID(int=7)


@given(st.uuids(), st.integers(0, 2**31), st.floats(0, 100))
def test_cursors_come_back(run_id: UUID, attempt: int, percent: float) -> None:
    cursor = Cursor(run_id, attempt, percent)
    assert Cursor.decode(cursor.encode(), run_id) == cursor


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_no_other_text_is_a_cursor_or_a_token(text: str) -> None:
    if not text:
        assert Cursor.decode(text, RUN) is uuid_position(text, "x") is None
        return
    for read, reason in (
        (lambda: Cursor.decode(text, RUN), Reason.BAD_CURSOR),
        (lambda: number_position(text, "x"), Reason.BAD_PAGE_TOKEN),
        (lambda: uuid_position(text, "x"), Reason.BAD_PAGE_TOKEN),
    ):
        with pytest.raises(InvalidInput) as caught:
            read()
        assert caught.value.reason is reason


@pytest.mark.parametrize("percent", [float("nan"), float("inf"), -1.0, 101.0])
def test_a_cursor_with_an_impossible_percent_is_refused(percent: float) -> None:
    with pytest.raises(InvalidInput):
        Cursor.decode(Cursor(RUN, 1, percent).encode(), RUN)


def test_a_cursor_is_of_one_run() -> None:
    with pytest.raises(InvalidInput):
        Cursor.decode(Cursor(RUN, 1, 1).encode(), UUID(int=8))


def test_a_token_with_a_letter_changed_is_refused() -> None:
    token = number_token("x", 5)
    assert number_position(token, "x") == 5
    for position in range(len(token) - 11):  # what is behind is the position itself
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        with pytest.raises(InvalidInput):
            number_position(changed, "x")


def test_a_token_is_for_one_list() -> None:
    with pytest.raises(InvalidInput):
        number_position(number_token("x", 5), "y")
    with pytest.raises(InvalidInput):
        uuid_position(number_token("x", 5), "x")
    with pytest.raises(InvalidInput):
        number_position(page_token("x", RUN.bytes), "x")
    assert uuid_position(page_token("x", RUN.bytes), "x") == RUN
