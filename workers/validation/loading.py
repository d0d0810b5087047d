"""A bounded hand-over from the thread that parses to the thread that loads: whoever is faster waits.

The thread that parses: keeps a few batches ready for the one that loads, and gathers what the rules need.

The thread that loads: COPYs batches into PostgreSQL and counts what could not be taken.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar
from uuid import UUID

import pyarrow as pa

from facnet_grpc import faults
from facnet_grpc.ingest.lines import LineBlock
from facnet_grpc.ingest.reader import ClaimFile, FileFormat
from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.model.summary import DefectFigures, RejectionFigures
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.storage.postgres import records
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.records import RecordWriter
from workers.validation.progress import ProgressTracker

Item = TypeVar("Item")
POLL_SECONDS = 0.2  # how long a receiver with nothing to do goes without looking up


class Channel(Generic[Item]):
    """A queue of `capacity` items with an end on the sender's side and a way out on the receiver's."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = Condition()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Hand over `item`, waiting for room. Returns False once the receiver wants no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more will come, and what went wrong if something did."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more: a sender that waits for room is let go."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def items(self, check: Callable[[], None]) -> Iterator[Item]:
        """Yield what is handed over; raise what the sender ended with. `check` is called at least every 0.2 s."""
        while True:
            check()
            with self._changed:
                if not self._changed.wait_for(lambda: self._items or self._ended, POLL_SECONDS):
                    continue
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error


BATCHES_AHEAD = 1


class Parsing:
    """Parses a claim file in a thread of its own, for as long as the context lasts.

    `on_found` is called by whoever takes the batches, before the first one, while the thread goes on. `columns` are
    those of `RULE_SCHEMA` that are kept for the rules.
    """

    def __init__(
        self,
        open_file: Callable[[], ClaimFile],
        on_found: Callable[[FileFormat], None],
        board: ProgressTracker,
        columns: Collection[str] = RULE_SCHEMA.names,
    ) -> None:
        self._open_file = open_file
        self._on_found = on_found
        self._board = board
        self._channel: Channel[FileFormat | LineBlock] = Channel(BATCHES_AHEAD)
        self._collector = LineCollector(columns)
        self._found: FileFormat | None = None
        self._lines: Future[pa.Table] = Future()
        self._thread = Thread(target=self._run, name="parsing", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. A parser that is not done yet notices after its current block; nobody waits for that."""
        self._channel.close()
        if kind is None:
            self._thread.join()

    def batches(self, check: Callable[[], None]) -> Iterator[LineBlock]:
        """Yield batches as they get ready; raises what the parser, `check` and `on_found` raise."""
        for item in self._channel.items(check):
            if isinstance(item, FileFormat):
                self._found = item
                self._on_found(item)
            else:
                yield item

    @property
    def found(self) -> FileFormat:
        """What the file turned out to be. Only after the first batch."""
        assert self._found is not None  # noqa: S101 - see above
        return self._found

    def lines(self) -> pa.Table:
        """Return what the rules need of all lines (RULE_SCHEMA); raises what gathering it raised.

        Only after the last batch. It stays in memory as long as this object does.
        """
        return self._lines.result()

    def _run(self) -> None:
        try:
            with self._open_file() as file:
                self._channel.put(file.format)
                faults.point("worker.parse.first")
                self._hand_over(file.batches())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that loads
            self._channel.end(error)
        else:
            self._channel.end()
            self._gather()

    def _gather(self) -> None:
        """Put the rules' columns together while the last batches are still on their way to PostgreSQL."""
        try:
            self._lines.set_result(self._collector.finish())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that loads
            self._lines.set_exception(error)

    def _hand_over(self, batches: Iterator[LineBlock]) -> None:
        rejected = 0
        for number, batch in enumerate(batches):
            if number:
                faults.point("worker.parse.mid")
            rejected += sum(batch.rejected_counts.values())
            self._board.parsed(bytes_parsed=batch.bytes_parsed, rows_parsed=batch.rows_parsed, rows_rejected=rejected)
            self._collector.add(batch.lines)
            if not self._channel.put(batch):
                return


@dataclass
class LoadStats:
    """What became of a file's lines."""

    accepted: int = 0
    blank: int = 0  # lines that are no rows: empty ones and totals
    rejections: Counter[tuple[str, str]] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        """How many lines were not accepted."""
        return self.rejections.total()

    @property
    def total(self) -> int:
        """How many lines there are."""
        return self.accepted + self.rejected

    def add(self, batch: LineBlock) -> None:
        """Count a batch."""
        self.accepted += batch.lines.num_rows
        self.blank += batch.blank_rows
        self.rejections.update(batch.rejected_counts)
        self.defects.update(batch.defects)

    def worst(self) -> dict[str, str | int]:
        """Return how many lines were rejected, and the most frequent reason: parameters of an error."""
        ((reason, column), _), *_ = [*self.rejections.most_common(1), (("", ""), 0)]
        return {"rejected": self.rejected, "reject_reason": reason, "column": column}

    def rejection_figures(self) -> tuple[RejectionFigures, ...]:
        """Return the rejected lines by reason and column, most first."""
        return tuple(
            RejectionFigures(reason=reason, column=column, count=count)
            for (reason, column), count in self.rejections.most_common()
        )

    def defect_figures(self) -> tuple[DefectFigures, ...]:
        """Return the unreadable values of kept lines by column, most first."""
        return tuple(DefectFigures(column=column, count=count) for column, count in self.defects.most_common())


def load(conn: PatientConnection, run_id: UUID, batches: Iterable[LineBlock], board: ProgressTracker) -> LoadStats:
    """Store every batch in the transaction of `conn`; raises what `batches` raises.

    The first rejected lines wait in memory (they are few) until the COPY of the others is done: a connection does one
    thing at a time.
    """
    tally = LoadStats()
    waiting: list[pa.RecordBatch] = []
    with RecordWriter(conn, run_id) as writer:
        for batch in batches:
            writer.write(batch.lines)
            faults.point("worker.copy.mid")
            tally.add(batch)
            board.loaded(bytes_loaded=batch.bytes_parsed, rows_loaded=tally.accepted)
            if batch.rejected.num_rows:
                waiting.append(batch.rejected)
    for rejected in waiting:
        records.write_rejected(conn, run_id, rejected)
    faults.point("worker.copy.done")
    return tally
