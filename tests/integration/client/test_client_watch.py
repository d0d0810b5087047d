"""Watches: no gap, no step back, one end."""

from __future__ import annotations

from threading import Event

import grpc
import pytest
from fake_server import RUN_ID, gone, progress, rich_status, terminal

from facnet_client import FacnetClient, NotFound, Phase, ServerError, Status, Unavailable
from facnet_grpc.gen.facnet.v1 import validation_pb2


def test_states_come_until_the_terminal_one(client, fake):
    fake.watches = [[progress(10, cursor="a", rows_parsed=5), progress(60), terminal()]]
    updates = list(client.watch(RUN_ID))
    assert [update.percent for update in updates] == [10, 60, 100]
    assert updates[0].phase is Phase.LOADING
    assert updates[0].rows_parsed == 5
    assert updates[0].queue_position is None
    assert updates[-1].status is Status.COMPLETED


def test_a_broken_stream_goes_on_with_its_cursor(client, fake):
    fake.watches = [
        [progress(10, cursor="a"), progress(30, cursor="b"), gone()],
        [progress(20, cursor="old"), progress(30, cursor="b2"), progress(40, cursor="c"), gone()],
        [terminal()],
    ]
    updates = list(client.watch(RUN_ID))
    assert [update.percent for update in updates] == [10, 30, 40, 100]
    assert [update.status.is_terminal for update in updates].count(True) == 1
    assert fake.cursors == ["", "b", "c"]


def test_a_stream_that_the_server_cut_short_goes_on_with_its_cursor(client, fake):
    cut_short = rich_status(grpc.StatusCode.CANCELLED, "", "")
    fake.watches = [[progress(10, cursor="a"), cut_short], [terminal()]]
    assert [update.percent for update in client.watch(RUN_ID)] == [10, 100]
    assert fake.cursors == ["", "a"]


def test_whoever_closes_the_client_is_told_so_and_nothing_is_tried_again(client, fake):
    closed = Event()

    def slowly():
        yield progress(10)
        closed.wait(10)

    fake.watches = [slowly()]
    updates = client.watch(RUN_ID)
    next(updates)
    client.close()
    with pytest.raises(ServerError, match="closed"):
        next(updates)
    closed.set()
    assert fake.cursors == [""]


def test_a_stream_that_ends_before_the_run_is_made_again(client, fake):
    fake.watches = [[progress(10, cursor="a")], [terminal()]]
    assert [update.percent for update in client.watch(RUN_ID)] == [10, 100]
    assert fake.cursors == ["", "a"]


def test_a_new_attempt_may_begin_at_zero(client, fake):
    queued = progress(0)
    queued.status = validation_pb2.VALIDATION_STATUS_QUEUED
    fake.watches = [
        [progress(50), gone()],
        [queued, progress(5, attempt=2), gone()],
        [progress(7, attempt=2), terminal()],
    ]
    found = [(update.attempt, update.percent) for update in client.watch(RUN_ID)]
    assert found == [(1, 50), (1, 0), (2, 5), (2, 7), (1, 100)]


def test_the_error_of_a_failed_run_comes_with_its_end(client, fake):
    error = validation_pb2.RunError(code="NOT_A_CSV", message="Une image.", cure="Exportez en CSV.")
    fake.watches = [[terminal(validation_pb2.VALIDATION_STATUS_FAILED, error=error)]]
    (update,) = client.watch(RUN_ID)
    assert update.error.code == "NOT_A_CSV"


def test_a_run_that_is_not_there_is_an_error(client, fake):
    fake.refuse = rich_status(grpc.StatusCode.NOT_FOUND, "VALIDATION_NOT_FOUND", "Aucune validation.")
    with pytest.raises(NotFound, match="Aucune validation"):
        next(client.watch(RUN_ID))


def test_it_gives_up_when_the_server_does_not_come_back(client, fake):
    fake.watches = [[progress(10), gone()], *[[gone()]] * 1000]
    with pytest.raises(Unavailable) as caught:
        list(client.watch(RUN_ID))
    assert caught.value.reason == "SHUTTING_DOWN"


def test_a_reader_who_leaves_early_frees_the_stream(client, fake):
    fake.watches = [[progress(10), progress(20), terminal()]]
    stream = client.watch(RUN_ID)
    next(stream)
    stream.close()
    assert client.get(RUN_ID).validation_id == RUN_ID


def test_texts_come_in_the_language_of_the_client(target, fake):
    with FacnetClient(target, language="en") as client:
        client.get(RUN_ID)
    assert fake.languages == ["en-CA"]


def test_a_quiet_run_is_followed_for_as_long_as_connections_live(client, fake):
    quiet = progress(10, cursor="a")
    fake.watches = [[quiet, gone()], *[[quiet, quiet, gone()] for _ in range(60)], [terminal()]]
    assert [update.percent for update in client.watch(RUN_ID)] == [10, 100]
