"""Whole files of results or lines, made part by part. Everything here blocks: each part is made in the pool.

Each page of rows is a short transaction of its own, so that a slow reader holds neither a connection nor a snapshot. A
completed run does not change; one that is deleted meanwhile ends the export with `NotFound`, never with half a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from uuid import UUID

import pyarrow as pa

from facnet_grpc.export import tables
from facnet_grpc.export.formats import Format, Sink, make_writer, media_type
from facnet_grpc.export.tables import Shaper, shaped
from facnet_grpc.model.run import Run
from facnet_grpc.phi.redaction import PersonView
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.results.queries import completed
from facnet_grpc.storage.postgres import records, results
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.texts.language import Locale

LINES_AT_ONCE = 16_384  # also the rows of a Parquet row group; about 5 MiB of Arrow
RESULTS_AT_ONCE = 2_048  # their texts are made one by one, a tenth of a second a page

# Reads the page after a number: rows as they leave the service, and the number of the last.
_Page = Callable[[int], tuple[pa.RecordBatch, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """The next bytes of a file, and how many rows the file has so far."""

    data: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class Export:
    """A file about to be made."""

    media_type: str
    total_rows: int
    parts: Iterator[Part]  # chunks of the sink's size; the last one is smaller, and may be empty


class Exports:
    """Makes files for one caller at a time: in their language, with persons as they may see them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def results(self, run_id: UUID, owner: str | None, form: Format, persons: PersonView, locale: Locale) -> Export:
        """Begin a file of a completed run's results. Raises `NotFound`, `Conflict`."""
        shaper = Shaper(locale, persons)

        def page(after: int) -> tuple[pa.RecordBatch, int]:
            with self._database.connection() as conn:
                found = results.page(conn, run_id, after=after, limit=RESULTS_AT_ONCE)
                completed(conn, run_id, owner)  # last, so that what was read was not deleted
            return shaper.shaped(found), found[-1].result_number if found else after

        total = self._begin(run_id, owner, lambda run: sum(astuple(run.result_counts)))
        return Export(media_type(form), total, _parts(form, tables.RESULT, page))

    def lines(self, run_id: UUID, owner: str | None, form: Format, persons: PersonView) -> Export:
        """Begin a file of a completed run's lines. Raises `NotFound`, `Conflict`."""

        def page(after: int) -> tuple[pa.RecordBatch, int]:
            with self._database.connection() as conn:
                found = records.record_page(conn, run_id, after=after, limit=LINES_AT_ONCE)
                completed(conn, run_id, owner)  # likewise
            return shaped(found, persons), found.column("record_number")[-1].as_py() if found.num_rows else after

        total = self._begin(run_id, owner, lambda run: run.processed_rows)
        return Export(media_type(form), total, _parts(form, tables.LINE, page))

    def _begin(self, run_id: UUID, owner: str | None, count: Callable[[Run], int]) -> int:
        """Return how many rows there will be; that the caller sees them is noted now, for all of them."""
        with self._database.connection() as conn:
            rows = count(completed(conn, run_id, owner))
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
