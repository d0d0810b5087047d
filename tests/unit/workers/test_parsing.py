"""The parsing thread: it ends when nobody wants more, and passes on what goes wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest

from facnet_grpc.errors import Reason, RunCancelled, TerminalError
from facnet_grpc.ingest.reader import FileFormat
from facnet_grpc.model.billing import BILLING_SCHEMA, RULE_SCHEMA
from facnet_grpc.rules.table.columns import LineCollector
from workers.validation.loading import Parsing
from workers.validation.progress import ProgressTracker

FOUND = FileFormat("utf-8", None, ";", ",", "%Y-%m-%d", 1, {}, (), 0)
EMPTY = pa.RecordBatch.from_pylist([], schema=BILLING_SCHEMA)


class File:
    """A claim file of so many batches."""

    format = FOUND

    def __init__(self, count):
        self.count, self.closed = count, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def batches(self):
        for number in range(1, self.count + 1):
            yield SimpleNamespace(
                lines=EMPTY, rejected_counts={("bad_date", ""): 2}, bytes_parsed=number, rows_parsed=3
            )


def never():
    """Find nothing wrong."""


def test_batches_come_with_progress_and_what_was_found():
    board, found = ProgressTracker(1, 4), []
    with Parsing(lambda: File(4), found.append, board) as parsing:
        assert [batch.bytes_parsed for batch in parsing.batches(never)] == [1, 2, 3, 4]
        assert parsing.lines().column_names == RULE_SCHEMA.names
    assert found == [parsing.found] == [FOUND]
    assert (board.progress.bytes_parsed, board.progress.rows_rejected) == (4, 8)


def test_a_parser_that_nobody_listens_to_ends_and_closes_its_file():
    file = File(10**9)
    parsing = Parsing(lambda: file, lambda _: None, ProgressTracker(1, 4))
    with pytest.raises(RunCancelled):
        _take_one_and_leave(parsing)
    parsing._thread.join(5)
    assert file.closed
    assert not parsing._thread.is_alive()


def _take_one_and_leave(parsing):
    with parsing:
        next(parsing.batches(never))
        raise RunCancelled


@pytest.mark.parametrize("where", ["open", "found"])
def test_what_goes_wrong_is_raised_where_batches_are_taken(where):
    def fail(*_):
        raise TerminalError(Reason.NOT_A_CSV)

    opened, noted = (fail, lambda _: None) if where == "open" else (lambda: File(1), fail)
    with Parsing(opened, noted, ProgressTracker(1, 4)) as parsing, pytest.raises(TerminalError):
        list(parsing.batches(never))


def test_what_goes_wrong_with_the_lines_is_raised_where_they_are_taken(monkeypatch):
    def fail(_):
        raise MemoryError

    monkeypatch.setattr(LineCollector, "finish", fail)
    with Parsing(lambda: File(1), lambda _: None, ProgressTracker(1, 4)) as parsing:
        list(parsing.batches(never))
        with pytest.raises(MemoryError):
            parsing.lines()
