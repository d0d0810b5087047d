"""The thread that loads: COPYs batches into PostgreSQL and counts what could not be taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import pyarrow as pa
from psycopg import Connection

from facnet_grpc import faults
from facnet_grpc.ingest.reader import Batch
from facnet_grpc.model.summary import DefectFigures, RejectionFigures
from facnet_grpc.storage.postgres import rejects
from facnet_grpc.storage.postgres.records import RecordWriter
from workers.pipeline.progress import ProgressBoard


@dataclass
class Tally:
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

    def add(self, batch: Batch) -> None:
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


def load(conn: Connection, run_id: UUID, batches: Iterable[Batch], board: ProgressBoard) -> Tally:
    """Store every batch in the transaction of `conn`; raises what `batches` raises.

    The first rejected lines wait in memory (they are few) until the COPY of the others is done: a connection does one
    thing at a time.
    """
    tally = Tally()
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
        rejects.write(conn, run_id, rejected)
    faults.point("worker.copy.done")
    return tally
