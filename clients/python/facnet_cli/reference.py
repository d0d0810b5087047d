"""`facnet reference`: codes and tariffs, establishments, versions, and new versions from files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from facnet_cli.columns import CODES, ESTABLISHMENTS, VERSION_FACTS
from facnet_cli.errors import ExitCode, Problem
from facnet_cli.options import Limit
from facnet_cli.output import print_json
from facnet_cli.session import Session, get_session
from facnet_cli.tables import Columns, facts, line
from facnet_cli.texts import printable
from facnet_client.reference import BillingCode, Establishment, ReferenceFile, ReferenceKind, guess_kind

_Version = Annotated[
    str, typer.Option("--version", help="help.reference.of", metavar="metavar.version", show_default=False)
]
_Row = TypeVar("_Row", BillingCode, Establishment)
_MAX_SOURCE = 200  # characters
_CHANGES = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def import_(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="help.reference.files", metavar="metavar.file")],
    *,
    kind: Annotated[ReferenceKind | None, typer.Option(help="help.reference.kind", case_sensitive=False)] = None,
    source: Annotated[str, typer.Option(help="help.reference.source", metavar="metavar.text", show_default=False)] = "",
) -> None:
    """Import files as a new version, all or nothing."""
    session = get_session(context)
    read = [_read(path, kind, source) for path in files]
    with session.client() as client:
        imported = client.reference.load(read)
    texts, version = session.texts, imported.reference_version
    changes = {
        "reference.added": imported.added,
        "reference.removed": imported.removed,
        "reference.changed": imported.changed,
    }
    if any(changes.values()):
        counted = ", ".join(texts.count(key, count) for key, count in changes.items())
        session.answer(imported, [texts("reference.imported", version=version, changes=counted)])
    else:
        session.answer(imported, [texts("reference.same", version=version)])


def show(
    context: typer.Context,
    version: Annotated[
        str, typer.Argument(help="help.reference.version", metavar="metavar.version", show_default=False)
    ] = "",
) -> None:
    """Print what is known of a version: the current one by default."""
    session = get_session(context)
    with session.client() as client:
        found = client.reference.version(version)
    heading = Text(printable(found.reference_version), "bold")
    session.answer(found, [heading, *facts(VERSION_FACTS, found, session.texts)])


def codes(
    context: typer.Context,
    *,
    prefix: Annotated[str, typer.Option(help="help.reference.prefix", metavar="metavar.text", show_default=False)] = "",
    version: _Version = "",
    limit: Limit = None,
) -> None:
    """List billing codes with their tariffs."""
    session = get_session(context)
    with session.client() as client:
        rows = client.reference.codes(prefix=prefix, version=version)
        session.print_rows(rows, CODES, empty="reference.empty", limit=limit)


def establishments(
    context: typer.Context,
    *,
    gmf: Annotated[bool, typer.Option("--gmf", help="help.reference.gmf")] = False,
    version: _Version = "",
    limit: Limit = None,
) -> None:
    """List establishments."""
    session = get_session(context)
    with session.client() as client:
        rows = client.reference.establishments(gmf_only=gmf, version=version)
        session.print_rows(rows, ESTABLISHMENTS, empty="reference.empty", limit=limit)


def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="help.reference.before", metavar="metavar.version")],
    after: Annotated[
        str, typer.Argument(help="help.reference.after", metavar="metavar.version", show_default=False)
    ] = "",
) -> None:
    """Print the codes and establishments that differ between two versions."""
    session = get_session(context)
    with session.client() as client:
        old, new = ({one.code: one for one in client.reference.codes(version=name)} for name in (before, after))
        old_places, new_places = (
            {one.number: one for one in client.reference.establishments(version=name)} for name in (before, after)
        )
        contexts = [client.reference.version(name).context_count for name in (before, after)]
    differences = _print_differences(session, "codes", CODES, old, new)
    differences += _print_differences(session, "establishments", ESTABLISHMENTS, old_places, new_places)
    if session.as_json:
        return
    if contexts[0] != contexts[1]:
        counts = map(session.texts.number, contexts)
        session.say("reference.context_counts", **dict(zip(("before", "after"), counts, strict=True)))
    elif not differences:
        session.say("reference.no_difference")


def _read(path: Path, kind: ReferenceKind | None, source: str) -> ReferenceFile:
    data = path.read_bytes()
    found = kind or guess_kind(data)
    if found is None:
        raise Problem("reference_kind", ExitCode.USAGE, name=printable(str(path)))
    return ReferenceFile(found, data, source or printable(path.name)[:_MAX_SOURCE])


def _print_differences(
    session: Session, kind: str, columns: Columns[_Row], old: Mapping[str, _Row], new: Mapping[str, _Row]
) -> int:
    """Print the rows that differ, by key, and return how many."""
    count = 0
    for change, before, after in _differences(old, new):
        count += 1
        if session.as_json:
            print_json({"kind": kind, "change": change, "before": before, "after": after})
        else:
            mark = Text(*_CHANGES[change])
            rows = (row for row in (before, after) if row is not None)
            session.print(Text(" ").join((mark, line(columns, row, session.texts))) for row in rows)
    return count


def _differences(old: Mapping[str, _Row], new: Mapping[str, _Row]) -> Iterator[tuple[str, _Row | None, _Row | None]]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before != after:
            yield "added" if before is None else "removed" if after is None else "changed", before, after
