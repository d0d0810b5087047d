"""The thread that parses: keeps a few batches ready for the one that loads, and gathers what the rules need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Self

import pyarrow as pa

from facnet_grpc import faults
from facnet_grpc.ingest.reader import Batch, ClaimFile, Found
from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.rules.lines import LineCollector
from workers.pipeline.channel import Channel
from workers.pipeline.progress import ProgressBoard

BATCHES_AHEAD = 1


class Parsing:
    """Parses a claim file in a thread of its own, for as long as the context lasts.

    `on_found` is called by whoever takes the batches, before the first one, while the thread goes on. `columns` are
    those of `RULE_SCHEMA` that are kept for the rules.
    """

    def __init__(
        self,
        open_file: Callable[[], ClaimFile],
        on_found: Callable[[Found], None],
        board: ProgressBoard,
        columns: Collection[str] = RULE_SCHEMA.names,
    ) -> None:
        self._open_file = open_file
        self._on_found = on_found
        self._board = board
        self._channel: Channel[Found | Batch] = Channel(BATCHES_AHEAD)
        self._collector = LineCollector(columns)
        self._found: Found | None = None
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

    def batches(self, check: Callable[[], None]) -> Iterator[Batch]:
        """Yield batches as they get ready; raises what the parser, `check` and `on_found` raise."""
        for item in self._channel.items(check):
            if isinstance(item, Found):
                self._found = item
                self._on_found(item)
            else:
                yield item

    @property
    def found(self) -> Found:
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
                self._channel.put(file.found)
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

    def _hand_over(self, batches: Iterator[Batch]) -> None:
        rejected = 0
        for number, batch in enumerate(batches):
            if number:
                faults.point("worker.parse.mid")
            rejected += sum(batch.rejected_counts.values())
            self._board.parsed(bytes_parsed=batch.bytes_parsed, rows_parsed=batch.rows_parsed, rows_rejected=rejected)
            self._collector.add(batch.lines)
            if not self._channel.put(batch):
                return
