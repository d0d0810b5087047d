"""Fetching all results or lines of a run as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import grpc

from facnet_client.backoff import Backoff, Retry
from facnet_client.calls import Calls
from facnet_client.errors import FacnetError, from_rpc
from facnet_client.replacing import replacing
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

# Called with rows so far, rows in all, bytes so far.
OnRows = Callable[[int, int, int], None]


def export(
    calls: Calls,
    request: pb2.ExportValidationRequest,
    out: Path,
    retry: Retry,
    on_rows: OnRows | None,
) -> int:
    """Write the file and return its rows. Begins anew after a broken connection. Raises `FacnetError`, `OSError`."""
    backoff = Backoff(retry)
    with replacing(out) as file:
        while True:
            try:
                return _fetch(calls, request, file, backoff, on_rows)
            except FacnetError as error:
                if not error.is_passing or not _rewound(file) or not backoff.wait():
                    raise


def _fetch(
    calls: Calls,
    request: pb2.ExportValidationRequest,
    file: BinaryIO,
    backoff: Backoff,
    on_rows: OnRows | None,
) -> int:
    call = calls.stub.ExportValidation(request, metadata=calls.metadata)
    rows = size = 0
    try:
        for message in call:
            backoff.connected()
            file.write(message.data)
            rows, size = message.rows, size + len(message.data)
            if on_rows is not None:
                on_rows(rows, message.total_rows, size)
    except grpc.RpcError as error:
        raise from_rpc(error) from None
    finally:
        call.cancel()
    return rows


def _rewound(file: BinaryIO) -> bool:
    """Whether the file is empty again; what went into a pipe is gone."""
    if not file.seekable():
        return False
    file.seek(0)
    file.truncate()
    return True
