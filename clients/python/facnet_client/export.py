"""Fetching all results or lines of a run as one file, which appears once it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from facnet_client.connection import Connection, Metadata
from facnet_client.errors import FacnetError
from facnet_client.retry import Backoff
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

#: Called with rows so far, rows in all, bytes so far.
OnRows = Callable[[int, int, int], None]


def export(
    connection: Connection,
    request: pb2.ExportValidationRequest,
    out: Path,
    backoff: Backoff,
    *,
    on_rows: OnRows | None = None,
    metadata: Metadata = (),
) -> int:
    """Write the file and return its rows. Begins anew after a broken connection. Raises `FacnetError`, `OSError`."""
    with atomic_write(out) as file:
        while True:
            try:
                return _fetch(connection, request, file, backoff, on_rows, metadata)
            except FacnetError as error:
                if not error.is_retryable or not _rewind(file) or not backoff.wait():
                    raise


def _fetch(
    connection: Connection,
    request: pb2.ExportValidationRequest,
    file: BinaryIO,
    backoff: Backoff,
    on_rows: OnRows | None,
    metadata: Metadata,
) -> int:
    rows = size = 0
    stream = connection.stream(connection.stub.ExportValidation, request, timeout=backoff.remaining, metadata=metadata)
    with closing(stream):
        for message in stream:
            backoff.connected()
            file.write(message.data)
            rows, size = message.rows, size + len(message.data)
            if on_rows is not None:
                on_rows(rows, message.total_rows, size)
    return rows


def _rewind(file: BinaryIO) -> bool:
    """Empty the file. Returns False if that cannot be done: what went into a pipe is gone."""
    if not file.seekable():
        return False
    file.seek(0)
    file.truncate()
    return True


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only once it is whole; anything but a file (a pipe, /dev/stdout) as it is."""
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
