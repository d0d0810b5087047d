"""Exports results or lines as files, part by part. Everything here blocks: each part is made in a thread.

Each page of rows is a short transaction of its own, so that a slow reader holds neither a connection nor a snapshot. A
completed run does not change; if it is deleted meanwhile, the export ends with `NotFound`, never with a partial file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from uuid import UUID

import pyarrow as pa

from facnet_grpc.export import tables
from facnet_grpc.export.formats import Format, Sink, make_writer, media_type
from facnet_grpc.export.tables import export_lines, export_results
from facnet_grpc.model.run import Run
from facnet_grpc.phi.redaction import PersonView
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.runs.queries import completed_run
from facnet_grpc.storage.postgres import records, results
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.texts.language import Locale

LINES_PER_PAGE = 16_384  # also the size of a Parquet row group; about 5 MiB of Arrow
RESULTS_PER_PAGE = 2_048  # their texts are rendered one by one, about 0.1 s a page

# Reads the page after a number: the exported rows, and the number of the last one.
_Page = Callable[[int], tuple[pa.RecordBatch, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """The next bytes of a file, and the number of rows so far."""

    data: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class Export:
    """A file whose parts are made on demand."""

    media_type: str
    total_rows: int
    parts: Iterator[Part]  # chunks of the sink's size; the last one is smaller, and may be empty


class Exports:
    """Makes files for one caller: in their language, with persons redacted unless they may see them."""

    def __init__(
        self,
        database: Database,
        *,
        lines_per_page: int = LINES_PER_PAGE,
        results_per_page: int = RESULTS_PER_PAGE,
    ) -> None:
        self._database = database
        self._lines_per_page = lines_per_page
        self._results_per_page = results_per_page

    def results(self, run_id: UUID, owner: str | None, form: Format, persons: PersonView, locale: Locale) -> Export:
        """Export a completed run's results (`export.tables.RESULT`). Raises `NotFound`, `Conflict`."""

        def page(after: int) -> tuple[pa.RecordBatch, int]:
            with self._database.connection() as conn:
                found = results.page(conn, run_id, after=after, limit=self._results_per_page)
                completed_run(conn, run_id, owner)  # last: the rows just read were complete
            return export_results(found, persons, locale), found[-1].result_number if found else after

        total = self._start(run_id, owner, lambda run: sum(astuple(run.result_counts)))
        return Export(media_type(form), total, _parts(form, tables.RESULT, page))

    def lines(self, run_id: UUID, owner: str | None, form: Format, persons: PersonView) -> Export:
        """Export a completed run's lines (`export.tables.LINE`). Raises `NotFound`, `Conflict`."""

        def page(after: int) -> tuple[pa.RecordBatch, int]:
            with self._database.connection() as conn:
                found = records.record_page(conn, run_id, after=after, limit=self._lines_per_page)
                completed_run(conn, run_id, owner)  # last, likewise
            last = found.column("record_number")[-1].as_py() if found.num_rows else after
            return export_lines(found, persons), last

        total = self._start(run_id, owner, lambda run: run.processed_rows)
        return Export(media_type(form), total, _parts(form, tables.LINE, page))

    def _start(self, run_id: UUID, owner: str | None, count: Callable[[Run], int]) -> int:
        """Return the number of rows, and record the access to all of them now."""
        with self._database.connection() as conn:
            rows = count(completed_run(conn, run_id, owner))
            phi_audit.record(conn, "ExportValidation", run_id, rows)
            return rows


def _parts(form: Format, schema: pa.Schema, page: _Page) -> Iterator[Part]:
    sink = Sink()
    writer = make_writer(form, sink, schema)
    after = rows = 0
    while True:
        batch, after = page(after)
        if not batch.num_rows:
            break
        rows += batch.num_rows
        writer.write(batch)
        yield from (Part(chunk, rows) for chunk in sink.chunks())
    writer.close()
    yield from (Part(chunk, rows) for chunk in sink.chunks())
    yield Part(sink.rest(), rows)
