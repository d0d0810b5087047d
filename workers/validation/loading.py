"""Loading a file: one thread parses it, another one sends its lines to PostgreSQL by COPY."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from types import TracebackType
from typing import Self
from uuid import UUID

import pyarrow as pa

from facnet_grpc import faults
from facnet_grpc.ingest.lines import LineBlock
from facnet_grpc.ingest.reader import ClaimFile, FileFormat
from facnet_grpc.logs import get_logger
from facnet_grpc.model.summary import DefectFigures, RejectionFigures
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.storage.postgres import records
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.records import RecordWriter
from workers.validation.progress import ProgressTracker

BLOCKS_AHEAD = 1  # that the parser may be ahead of COPY
POLL_SECONDS = 0.2  # how often a loader that waits for a block checks whether to stop
STOP_SECONDS = 2.0  # how long a failed load waits for the parser to finish its current block
log = get_logger(__name__)


class Parsing:
    """Parses a claim file in a thread of its own, for as long as the context lasts.

    The thread stays at most `BLOCKS_AHEAD` blocks ahead. `on_found` is called by the loading thread before the first
    block. `collector` keeps the columns that rules need (of `RULE_SCHEMA`) from every block.
    """

    def __init__(
        self,
        open_file: Callable[[], ClaimFile],
        on_found: Callable[[FileFormat], None],
        tracker: ProgressTracker,
        collector: LineCollector,
    ) -> None:
        self._open_file = open_file
        self._on_found = on_found
        self._tracker = tracker
        self._collector = collector
        self._items: SimpleQueue[FileFormat | LineBlock | BaseException | None] = SimpleQueue()  # None: the file ends
        self._free = Semaphore(BLOCKS_AHEAD)
        self._stopped = False
        self._found: FileFormat | None = None
        self._lines: Future[pa.Table] = Future()
        self._thread = Thread(target=self._run, name="parsing", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread after its current block and wait for it; after an error, no longer than `STOP_SECONDS`."""
        self._stopped = True
        self._free.release()
        self._thread.join(STOP_SECONDS if kind else None)
        if self._thread.is_alive():
            log.warning("parser_not_stopped")

    def batches(self, check: Callable[[], None]) -> Iterator[LineBlock]:
        """Yield blocks; raise what the parser, `check` and `on_found` raise. `check` is called at least every 0.2 s."""
        while True:
            check()
            try:
                item = self._items.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, FileFormat):
                self._found = item
                self._on_found(item)
            else:
                self._free.release()
                yield item

    @property
    def found(self) -> FileFormat:
        """What the file turned out to be. Only after the first batch."""
        assert self._found is not None  # noqa: S101 - see above
        return self._found

    def lines(self) -> pa.Table:
        """Return what rules need of all lines (`RULE_SCHEMA`); raise what collecting it raised.

        Only after the last batch. The table stays in memory as long as this object does.
        """
        return self._lines.result()

    def _run(self) -> None:
        try:
            with self._open_file() as file:
                self._items.put(file.format)
                faults.point("worker.parse.first")
                self._parse(file.batches())
        except BaseException as error:  # noqa: BLE001 - raised again in the loading thread
            self._items.put(error)
        else:
            self._items.put(None)
            if not self._stopped:
                self._collect()

    def _parse(self, blocks: Iterator[LineBlock]) -> None:
        rejected = 0
        for number, block in enumerate(blocks):
            if number:
                faults.point("worker.parse.mid")
            rejected += sum(block.rejected_counts.values())
            self._tracker.update_parsed(
                bytes_parsed=block.bytes_parsed, rows_parsed=block.rows_parsed, rows_rejected=rejected
            )
            self._collector.add(block.lines)
            self._free.acquire()
            if self._stopped:
                return
            self._items.put(block)

    def _collect(self) -> None:
        """Build the columns for the rules while the last blocks are still being loaded."""
        try:
            self._lines.set_result(self._collector.finish())
        except BaseException as error:  # noqa: BLE001 - raised again in the loading thread
            self._lines.set_exception(error)


@dataclass
class LoadStats:
    """Numbers of lines of a file, by what became of them."""

    accepted: int = 0
    blank: int = 0  # empty lines and totals, which are no rows
    rejections: Counter[tuple[str, str]] = field(default_factory=Counter)  # by reason and column
    defects: Counter[str] = field(default_factory=Counter)  # unreadable values of accepted lines, by column

    @property
    def rejected(self) -> int:
        """Number of rejected lines."""
        return self.rejections.total()

    @property
    def total(self) -> int:
        """Number of lines, accepted and rejected."""
        return self.accepted + self.rejected

    def add(self, batch: LineBlock) -> None:
        """Count a batch."""
        self.accepted += batch.lines.num_rows
        self.blank += batch.blank_rows
        self.rejections.update(batch.rejected_counts)
        self.defects.update(batch.defects)

    def worst(self) -> dict[str, str | int]:
        """Return the number of rejected lines and the most frequent reason, as parameters of an error."""
        ((reason, column), _), *_ = [*self.rejections.most_common(1), (("", ""), 0)]
        return {"rejected": self.rejected, "reject_reason": reason, "column": column}

    def rejection_figures(self) -> tuple[RejectionFigures, ...]:
        """Return the numbers of rejected lines by reason and column, the largest first."""
        return tuple(
            RejectionFigures(reason=reason, column=column, count=count)
            for (reason, column), count in self.rejections.most_common()
        )

    def defect_figures(self) -> tuple[DefectFigures, ...]:
        """Return the numbers of unreadable values by column, the largest first."""
        return tuple(DefectFigures(column=column, count=count) for column, count in self.defects.most_common())


def load(conn: PatientConnection, run_id: UUID, batches: Iterable[LineBlock], tracker: ProgressTracker) -> LoadStats:
    """Store every block in the transaction of `conn`; raises what `batches` raises.

    Rejected lines (the first 1,000 of a file) stay in memory until the COPY of the others is done: a connection does
    one thing at a time.
    """
    stats = LoadStats()
    rejected: list[pa.RecordBatch] = []
    with RecordWriter(conn, run_id) as writer:
        for batch in batches:
            writer.write(batch.lines)
            faults.point("worker.copy.mid")
            stats.add(batch)
            tracker.update_loaded(bytes_loaded=batch.bytes_parsed, rows_loaded=stats.accepted)
            if batch.rejected.num_rows:
                rejected.append(batch.rejected)
    for lines in rejected:
        records.write_rejected(conn, run_id, lines)
    faults.point("worker.copy.done")
    return stats
