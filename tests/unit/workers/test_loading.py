"""The parsing thread: order, backpressure, errors, and that it stops when nobody wants more."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pyarrow as pa
import pytest

from facnet_grpc.errors import Reason, RunCancelled, TerminalError
from facnet_grpc.ingest.reader import FileFormat
from facnet_grpc.model.billing import BILLING_SCHEMA, RULE_SCHEMA
from facnet_grpc.rules.table.columns import LineCollector
from workers.validation.loading import BLOCKS_AHEAD, Parsing
from workers.validation.progress import ProgressTracker

FOUND = FileFormat("utf-8", None, ";", ",", "%Y-%m-%d", 1, {}, (), 0)
EMPTY = pa.RecordBatch.from_pylist([], schema=BILLING_SCHEMA)


class File:
    """A claim file of so many blocks, which may be damaged after the last one."""

    format = FOUND

    def __init__(self, count, error=None):
        self.count, self.error, self.parsed, self.closed = count, error, 0, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def batches(self):
        for number in range(1, self.count + 1):
            self.parsed = number
            yield Block(lines=EMPTY, rejected_counts={("bad_date", ""): 2}, bytes_parsed=number, rows_parsed=3)
        if self.error:
            raise self.error


class Block(SimpleNamespace):
    """A block of lines."""


class Collector(LineCollector):
    """Collects columns, and remembers whether they were built."""

    def __init__(self, error=None):
        super().__init__(RULE_SCHEMA.names)
        self.error, self.finished = error, False

    def finish(self):
        self.finished = True
        if self.error:
            raise self.error
        return super().finish()


def never():
    """Find no reason to stop."""


def parse(open_file, on_found=lambda _: None, tracker=None, collector=None):
    return Parsing(open_file, on_found, tracker or ProgressTracker(1, 4), collector or Collector())


def test_blocks_come_in_order_with_progress_and_what_was_found():
    tracker, found = ProgressTracker(1, 4), []
    with parse(lambda: File(4), found.append, tracker) as parsing:
        assert [block.bytes_parsed for block in parsing.batches(never)] == [1, 2, 3, 4]
        assert parsing.lines().column_names == RULE_SCHEMA.names
    assert found == [parsing.found] == [FOUND]
    assert (tracker.progress.bytes_parsed, tracker.progress.rows_rejected) == (4, 8)


def test_the_parser_is_never_further_ahead_than_allowed():
    file = File(30)
    with parse(lambda: file) as parsing:
        for taken, _ in enumerate(parsing.batches(never), start=1):
            assert file.parsed <= taken + BLOCKS_AHEAD + 1  # one that is ready, and one that is being parsed


def test_what_was_parsed_before_an_error_arrives_before_it():
    with parse(lambda: File(1, ValueError("broken"))) as parsing:
        blocks = parsing.batches(never)
        assert next(blocks).bytes_parsed == 1
        with pytest.raises(ValueError, match="broken"):
            next(blocks)


def test_a_cancelled_load_stops_its_parser_and_builds_no_columns():
    file, collector = File(10**9), Collector()
    checks = iter([None, RunCancelled()])

    def cancelled_after_the_first_block():
        if error := next(checks):
            raise error

    with pytest.raises(RunCancelled), parse(lambda: file, collector=collector) as parsing:
        list(parsing.batches(cancelled_after_the_first_block))
    assert file.closed
    assert not collector.finished
    assert "parsing" not in [thread.name for thread in threading.enumerate()]


def test_a_loader_with_nothing_to_do_still_checks_whether_to_stop():
    checks, go_on = [], threading.Event()

    def cancelled_at_the_third_check():
        checks.append(time.monotonic())
        if len(checks) == 3:
            go_on.set()
            raise RunCancelled

    def open_file():
        go_on.wait(30)
        return File(1)

    with pytest.raises(RunCancelled), parse(open_file) as parsing:
        next(parsing.batches(cancelled_at_the_third_check))


@pytest.mark.parametrize("where", ["open", "found"])
def test_what_goes_wrong_is_raised_where_blocks_are_taken(where):
    def fail(*_):
        raise TerminalError(Reason.NOT_A_CSV)

    opened, on_found = (fail, lambda _: None) if where == "open" else (lambda: File(1), fail)
    with parse(opened, on_found) as parsing, pytest.raises(TerminalError):
        list(parsing.batches(never))


def test_what_goes_wrong_with_the_lines_is_raised_where_they_are_taken():
    with parse(lambda: File(1), collector=Collector(MemoryError())) as parsing:
        list(parsing.batches(never))
        with pytest.raises(MemoryError):
            parsing.lines()
