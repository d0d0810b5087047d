"""From reference files to a new version: read whole, checked whole, stored whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection

from facnet_grpc.model.reference import ReferenceChanges, ReferenceKind, ReferenceVersion
from facnet_grpc.reference import tables
from facnet_grpc.storage.postgres import reference

MAX_FILE_BYTES = 16 << 20  # the shipped codes take 0.4 MB
STATEMENT_SECONDS = 60.0  # a version has some ten thousand rows


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A file: CSV, UTF-8. `source` says where it is from, and of which date."""

    kind: ReferenceKind
    source: str
    data: bytes


def read(files: Sequence[ReferenceFile]) -> Mapping[str, tables.Part]:
    """Return what files of different kinds hold. Raises `InvalidInput` (BAD_REFERENCE_FILE)."""
    return {one.kind.value: tables.read(one.kind, one.data) for one in files}


def store(
    conn: Connection, files: Sequence[ReferenceFile], parts: Mapping[str, tables.Part], day: date
) -> tuple[ReferenceVersion, ReferenceChanges]:
    """Make what was read from files the version in force; returns it, and what is different from the one before."""
    source = "; ".join(f"{one.kind}: {one.source}" if one.source else one.kind.value for one in files)
    return reference.adopt(conn, parts, source=source, day=day)
