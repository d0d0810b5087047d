"""Versions of the reference data. Their rows never change; the version with the highest adoption number is in force.

A database without any version gets the shipped one when it is first asked for one. A newer shipped version comes into
force when the schema is migrated, unless an imported version is in force: then it is only stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from types import MappingProxyType
from typing import Any

from psycopg import Connection, sql

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.reference import ReferenceChanges, ReferenceVersion
from facnet_grpc.reference import versions
from facnet_grpc.reference.snapshot import CodeEntry, ContextElement, Establishment, ReferenceSnapshot, shipped
from facnet_grpc.storage.postgres import locks
from facnet_grpc.storage.postgres.fetch import fetch_object, fetch_objects
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("reference")
IMPORT_SECONDS = 60.0  # for a statement: a version has some ten thousand rows
_CODE_COLUMNS = ("version", "code", "entry_number", "place", "tariff_cents", "base_units", "tab", "label", "valid_from")


def in_force(conn: Connection) -> ReferenceVersion:
    """Return the version in force; stores the shipped one if there is none."""
    return fetch_object(conn, ReferenceVersion, SQL["select_in_force"]) or load_shipped(conn)


def resolve(conn: Connection, version: str) -> ReferenceVersion:
    """Return a version by its name, or the one in force if it is empty. Raises `NotFound` (REFERENCE_NOT_FOUND)."""
    if not version:
        return in_force(conn)
    found = fetch_object(conn, ReferenceVersion, SQL["select_version"], {"version": version})
    if found is None:
        raise NotFound(Reason.REFERENCE_NOT_FOUND, reference="version")
    return found


def load_shipped(conn: Connection, new: ReferenceSnapshot | None = None) -> ReferenceVersion:
    """Store the shipped version, or `new` in its place, if it is missing; return the version in force."""
    new = new or shipped()
    locks.lock(conn, locks.REFERENCE)
    present = fetch_object(conn, ReferenceVersion, SQL["select_in_force"])
    content = versions.content_hash(new)
    if fetch_object(conn, ReferenceVersion, SQL["select_by_content"], {"content_hash": content}) is None:
        leads = present is None or present.origin == "shipped"
        stored = _insert(conn, new, content, "shipped", versions.SHIPPED_SOURCE, in_force=leads)
        return stored if present is None or leads else present
    return present or in_force(conn)


def adopt(
    conn: Connection,
    parts: Mapping[str, Any],
    *,
    source: str,
    day: date,
) -> tuple[ReferenceVersion, ReferenceChanges]:
    """Replace `parts` (`codes`, `establishments`, `contexts`) of the version in force; the result comes into force.

    A part is a mapping as in `ReferenceSnapshot`. Returns the new version and its changes. Content that a version has
    already brings that version into force.
    """
    locks.lock(conn, locks.REFERENCE)
    present = in_force(conn)
    before = snapshot(conn, present.version)
    after = replace(before, **parts)
    content = versions.content_hash(after)
    known = fetch_object(conn, ReferenceVersion, SQL["select_by_content"], {"content_hash": content})
    if known is None:
        named = replace(after, version=versions.imported_name(content, day))
        known = _insert(conn, named, content, "imported", source, in_force=True)
    else:
        conn.execute(SQL["update_adoption"], {"version": known.version})
    return known, versions.changes(before, after)


def snapshot(conn: Connection, version: str) -> ReferenceSnapshot:
    """Return the content of a version that exists."""
    entries = fetch_objects(conn, CodeEntry, SQL["select_codes"], {"version": version})
    places = fetch_objects(conn, Establishment, SQL["select_establishments"], {"version": version})
    elements = fetch_objects(conn, ContextElement, SQL["select_contexts"], {"version": version})
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
    return list(_by_code(fetch_objects(conn, CodeEntry, SQL["select_code_page"], params)))


def code(conn: Connection, version: str, code: str) -> tuple[CodeEntry, ...]:
    """Return the entries of a code. Raises `NotFound` (REFERENCE_NOT_FOUND)."""
    found = fetch_objects(conn, CodeEntry, SQL["select_code"], {"version": version, "code": code})
    if not found:
        raise NotFound(Reason.REFERENCE_NOT_FOUND, reference="code")
    return tuple(found)


def establishment_page(
    conn: Connection, version: str, *, gmf_only: bool, after: str, limit: int
) -> list[Establishment]:
    """Return at most `limit` establishments after the number `after`."""
    params = {"version": version, "gmf_only": gmf_only, "after": after, "limit": limit}
    return fetch_objects(conn, Establishment, SQL["select_establishment_page"], params)


def _by_code(entries: Iterable[CodeEntry]) -> Iterable[tuple[str, tuple[CodeEntry, ...]]]:
    return ((code, tuple(group)) for code, group in groupby(entries, lambda entry: entry.code))


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
    (stored,) = fetch_objects(conn, ReferenceVersion, SQL["insert_version"], params)
    _copy(conn, "billing_codes", _CODE_COLUMNS, _code_rows(new))
    places = ((new.version, place.number, place.name, place.type, place.gmf) for place in new.establishments.values())
    _copy(conn, "establishments", ("version", "number", "name", "type", "gmf"), places)
    elements = ((new.version, element.token, element.label, element.ends_on) for element in new.contexts.values())
    _copy(conn, "contexts", ("version", "token", "label", "ends_on"), elements)
    return stored


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
