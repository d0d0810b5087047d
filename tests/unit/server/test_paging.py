"""Page tokens and cursors come back as they were made, and nothing else is accepted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.errors import InvalidInput, Reason
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.server.paging import ID, NUMBER, TEXT, TIME_AND_ID, Cursor, Page, PositionFormat

RUN = UUID(int=7)
POSITIONS = [(NUMBER, 5), (TEXT, "08857é"), (ID, RUN), (TIME_AND_ID, (datetime(2025, 1, 1, 2, 3, 4, 5, UTC), RUN))]


def token(position: Any, form: PositionFormat[Any] = NUMBER, key: object = "x") -> str:
    return Page(pb.ListValidationsRequest(), key, form).token(position)


def position(text: str, form: PositionFormat[Any] = NUMBER, key: object = "x") -> Any:
    return Page(pb.ListValidationsRequest(page_token=text), key, form).after


@given(st.uuids(), st.integers(0, 2**31), st.floats(0, 100))
def test_cursors_come_back(run_id: UUID, attempt: int, percent: float) -> None:
    cursor = Cursor(run_id, attempt, percent)
    assert Cursor.decode(cursor.encode(), run_id) == cursor


@pytest.mark.parametrize(("form", "after"), POSITIONS)
def test_positions_come_back(form: PositionFormat[Any], after: Any) -> None:
    assert position(token(after, form), form) == after


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_no_other_text_is_a_cursor_or_a_token(text: str) -> None:
    if not text:
        assert Cursor.decode(text, RUN) is position(text) is None
        return
    for read, reason in (
        (lambda: Cursor.decode(text, RUN), Reason.BAD_CURSOR),
        *((lambda form=form: position(text, form), Reason.BAD_PAGE_TOKEN) for form, _ in POSITIONS),
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
    text = token(5)
    for index in range(len(text) - 11):  # what is behind is the position itself
        changed = text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
        with pytest.raises(InvalidInput):
            position(changed)


def test_a_token_is_for_one_list() -> None:
    with pytest.raises(InvalidInput):
        position(token(5), key="y")
    with pytest.raises(InvalidInput):
        position(token(5), ID)
    with pytest.raises(InvalidInput):
        position(token(RUN, ID))


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (7, 7), (1000, 1000), (1001, 1000)])
def test_a_page_size_has_a_default_and_a_limit(asked: int, size: int) -> None:
    assert Page(pb.ListValidationsRequest(page_size=asked), "x", NUMBER, 50).size == size
    with pytest.raises(InvalidInput):
        Page(pb.ListValidationsRequest(page_size=-1), "x", NUMBER)


def render(row: int) -> pb.RejectedRow:
    return pb.RejectedRow(record_number=row, raw="x" * 300_000)


@pytest.mark.parametrize(("rows", "shown", "after"), [(0, [], None), (2, [0, 1], None), (3, [0, 1], 1)])
def test_a_page_tells_whether_there_is_another_one(rows: int, shown: list[int], after: int | None) -> None:
    page = Page(pb.ListRejectedRowsRequest(page_size=2), "x", NUMBER)
    rendered, text = page.build(range(rows), render, lambda row: row)
    assert [row.record_number for row in rendered] == shown
    assert position(text) == after


def test_a_page_ends_before_it_is_too_large_for_a_message() -> None:
    page = Page(pb.ListRejectedRowsRequest(page_size=9), "x", NUMBER)
    rendered, text = page.build(range(10), render, lambda row: row)
    assert (len(rendered), position(text)) == (3, 2)
