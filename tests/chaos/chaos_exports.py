"""What an export has to be: made here from what PostgreSQL holds, at one moment, as one piece."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pyarrow as pa
from chaos_stack import SOON, ChaosStack
from chaos_truth import MOST, snapshot
from pyarrow import ipc
from pyarrow import parquet as pq

from facnet_client.values import ExportFormat
from facnet_grpc.export import tables
from facnet_grpc.export.formats import Format, Sink, make_writer
from facnet_grpc.export.tables import export_lines, export_results
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.rules.checks import packs
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.postgres import records as records_module
from facnet_grpc.storage.postgres import results
from facnet_grpc.texts.catalogue import extend
from facnet_grpc.texts.language import Locale

for _locale in Locale:  # as the server does
    extend(_locale, packs.entries(_locale.value))
_PERSONS = Redactor.of(Keys.parse(SOON["FACNET_PSEUDONYM_KEY"]))


@dataclass(frozen=True)
class Wanted:
    """What somebody exports: lines or results, and how they are written."""

    form: ExportFormat
    records: bool


@dataclass(frozen=True)
class Exported:
    """A file that somebody has got, and how many rows they were told it is of."""

    wanted: Wanted
    rows: int
    path: Path


class Held(NamedTuple):
    """A file, and how many rows it is of."""

    rows: int
    data: bytes


@lru_cache
def held(stack: ChaosStack, run_id: str, wanted: Wanted) -> Held:
    """Return the file that PostgreSQL holds of a completed run. Nothing in it tells the run from others like it."""
    with snapshot(stack) as conn:
        if wanted.records:
            schema, batch = (
                tables.LINE,
                export_lines(records_module.record_page(conn, UUID(run_id), limit=MOST), _PERSONS),
            )
        else:
            found = results.page(conn, UUID(run_id), limit=MOST)
            schema, batch = tables.RESULT, export_results(found, _PERSONS, Locale.EN)
    sink = Sink()
    writer = make_writer(Format(wanted.form.value), sink, schema)
    writer.write(batch)
    writer.close()
    return Held(batch.num_rows, b"".join(sink.chunks()) + sink.rest())


def is_right(stack: ChaosStack, exported: Exported, model: str) -> bool:
    """Whether a file is what PostgreSQL holds of `model`, a run on the same claims."""
    expected, data = held(stack, model, exported.wanted), exported.path.read_bytes()
    return exported.rows == expected.rows and _is_same(data, expected.data, exported.wanted.form)


def _is_same(one: bytes, other: bytes, form: ExportFormat) -> bool:
    """Whether two files say the same: all bytes of text, all cells of tables."""
    if form in {ExportFormat.JSONL, ExportFormat.CSV}:
        return one == other
    return bool(_table(one, form).equals(_table(other, form)))


def _table(data: bytes, form: ExportFormat) -> pa.Table:
    if form is ExportFormat.PARQUET:
        return pq.read_table(pa.BufferReader(data))
    return ipc.open_stream(data).read_all()
