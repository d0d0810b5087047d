"""Reference data in PostgreSQL: versions whose rows never change, one of them in force.

A database without any version gets the shipped one when it is first asked. A shipped version that is newer than the
one in force comes into force by itself, unless somebody has imported their own: then it waits to be imported.

From reference files to a new version: read whole, checked whole, stored whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeVar

from psycopg import Connection, sql
from psycopg.rows import class_row

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.reference import ReferenceChanges, ReferenceKind, ReferenceVersion
from facnet_grpc.reference import tables, versions
from facnet_grpc.reference.snapshot import CodeEntry, ContextElement, Establishment, ReferenceSnapshot, shipped
from facnet_grpc.storage.postgres import locks
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("reference")
_CODE_COLUMNS = ("version", "code", "entry_number", "place", "tariff_cents", "base_units", "tab", "label", "valid_from")

Row = TypeVar("Row")


def in_force(conn: Connection) -> ReferenceVersion:
    """Return the version in force; stores the shipped one if there is none."""
    return _version(conn, "in_force", {}) or load_shipped(conn)


def resolve(conn: Connection, version: str) -> ReferenceVersion:
    """Return a version by its name, or the one in force if it is empty. Raises `NotFound` (REFERENCE_NOT_FOUND)."""
    if not version:
        return in_force(conn)
    found = _version(conn, "get", {"version": version})
    if found is None:
        raise NotFound(Reason.REFERENCE_NOT_FOUND, reference="version")
    return found


def load_shipped(conn: Connection) -> ReferenceVersion:
    """Store the shipped version if it is not there, and return the version in force."""
    conn.execute(SQL["lock"], {"number": locks.REFERENCE})
    present = _version(conn, "in_force", {})
    content = versions.content_hash(shipped())
    if _version(conn, "find", {"content_hash": content}) is None:
        leads = present is None or present.origin == "shipped"
        made = _insert(conn, shipped(), content, "shipped", versions.SHIPPED_SOURCE, in_force=leads)
        return made if present is None or leads else present
    return present or in_force(conn)


def adopt(
    conn: Connection,
    parts: Mapping[str, Any],
    *,
    source: str,
    day: date,
) -> tuple[ReferenceVersion, ReferenceChanges]:
    """Make the version in force with `parts` (`codes`, `establishments`, `contexts`) exchanged the one in force.

    A part is a mapping as `ReferenceSnapshot` has it.

    Returns it, and what is different from the one before. Content that is there already keeps its name.
    """
    conn.execute(SQL["lock"], {"number": locks.REFERENCE})
    present = in_force(conn)
    before = snapshot(conn, present.version)
    after = replace(before, **parts)
    content = versions.content_hash(after)
    known = _version(conn, "find", {"content_hash": content})
    if known is None:
        named = replace(after, version=versions.imported_name(content, day))
        known = _insert(conn, named, content, "imported", source, in_force=True)
    else:
        conn.execute(SQL["adopt"], {"version": known.version})
    return known, versions.changes(before, after)


def snapshot(conn: Connection, version: str) -> ReferenceSnapshot:
    """Return a version that exists, whole."""
    entries = _rows(conn, CodeEntry, "codes", {"version": version})
    places = _rows(conn, Establishment, "establishments", {"version": version})
    elements = _rows(conn, ContextElement, "contexts", {"version": version})
    return ReferenceSnapshot(
        version=version,
        codes=MappingProxyType(dict(_by_code(entries))),
        establishments=MappingProxyType({place.number: place for place in places}),
        contexts=MappingProxyType({element.token: element for element in elements}),
    )


def code_page(
    conn: Connection, version: str, *, prefix: str, after: str, limit: int
) -> list[tuple[str, tuple[CodeEntry, ...]]]:
    """Return at most `limit` codes that begin with `prefix`, after the code `after`, each with its entries."""
    params = {"version": version, "prefix": prefix, "after": after, "limit": limit}
    return list(_by_code(_rows(conn, CodeEntry, "code_page", params)))


def code(conn: Connection, version: str, code: str) -> tuple[CodeEntry, ...]:
    """Return the entries of a code. Raises `NotFound` (REFERENCE_NOT_FOUND)."""
    found = _rows(conn, CodeEntry, "code", {"version": version, "code": code})
    if not found:
        raise NotFound(Reason.REFERENCE_NOT_FOUND, reference="code")
    return tuple(found)


def establishment_page(
    conn: Connection, version: str, *, gmf_only: bool, after: str, limit: int
) -> list[Establishment]:
    """Return at most `limit` establishments after the number `after`."""
    params = {"version": version, "gmf_only": gmf_only, "after": after, "limit": limit}
    return _rows(conn, Establishment, "establishment_page", params)


def _by_code(entries: Iterable[CodeEntry]) -> Iterable[tuple[str, tuple[CodeEntry, ...]]]:
    return ((code, tuple(group)) for code, group in groupby(entries, lambda entry: entry.code))


def _rows(conn: Connection, kind: type[Row], name: str, params: Mapping[str, Any]) -> list[Row]:
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(SQL[name], params).fetchall()


def _version(conn: Connection, name: str, params: Mapping[str, Any]) -> ReferenceVersion | None:
    with conn.cursor(row_factory=class_row(ReferenceVersion)) as cursor:
        return cursor.execute(SQL[name], params).fetchone()


def _insert(
    conn: Connection, new: ReferenceSnapshot, content: str, origin: str, source: str, *, in_force: bool
) -> ReferenceVersion:
    params = {
        "version": new.version,
        "origin": origin,
        "source": source,
        "content_hash": content,
        "in_force": in_force,
        "code_count": len(new.codes),
        "establishment_count": len(new.establishments),
        "context_count": len(new.contexts),
    }
    with conn.cursor(row_factory=class_row(ReferenceVersion)) as cursor:
        made = cursor.execute(SQL["insert"], params).fetchall()[0]
    _copy(conn, "billing_codes", _CODE_COLUMNS, _code_rows(new))
    places = ((new.version, one.number, one.name, one.type, one.gmf) for one in new.establishments.values())
    _copy(conn, "establishments", ("version", "number", "name", "type", "gmf"), places)
    elements = ((new.version, one.token, one.label, one.ends_on) for one in new.contexts.values())
    _copy(conn, "contexts", ("version", "token", "label", "ends_on"), elements)
    return made


def _code_rows(new: ReferenceSnapshot) -> Iterable[tuple[Any, ...]]:
    for entries in new.codes.values():
        for number, one in enumerate(entries, 1):
            money = (one.tariff_cents, one.base_units)
            yield new.version, one.code, number, one.place, *money, one.tab, one.label, one.valid_from


def _copy(conn: Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


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
    return adopt(conn, parts, source=source, day=day)
