"""`facnet reference`: codes and tariffs, establishments, versions; and new ones from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from facnet_cli.exits import ExitCode
from facnet_cli.options import Limit
from facnet_cli.output import print_json, printable
from facnet_cli.problem import Problem
from facnet_cli.session import Session, session
from facnet_client.client import FacnetClient
from facnet_client.reference import BillingCode, Establishment, ReferenceFile, ReferenceKind, guess_kind

_Version = Annotated[
    str, typer.Option("--version", help="help.reference.of", metavar="metavar.version", show_default=False)
]
_Row = TypeVar("_Row", BillingCode, Establishment)
_Any = BillingCode | Establishment
_Difference = tuple[str, str, _Any | None, _Any | None]  # kind, change, before, after
_STYLES = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


class KindWord(StrEnum):
    """Values of `--kind`."""

    CODES = "codes"
    ESTABLISHMENTS = "establishments"
    CONTEXTS = "contexts"


def import_(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="help.reference.files", metavar="metavar.file")],
    *,
    kind: Annotated[KindWord | None, typer.Option(help="help.reference.kind", case_sensitive=False)] = None,
    source: Annotated[str, typer.Option(help="help.reference.source", metavar="metavar.text", show_default=False)] = "",
) -> None:
    """Import files as a new version, all or nothing."""
    told = session(context)
    read = [_read(path, kind, source) for path in files]
    with told.client() as client:
        made = client.reference.load(read)
    if told.as_json:
        print_json(made)
        return
    number = told.texts.number
    if not (made.added or made.removed or made.changed):
        told.out.print(told.texts("reference.same", version=made.reference_version))
        return
    told.out.print(
        told.texts(
            "reference.imported",
            version=made.reference_version,
            added=number(made.added),
            removed=number(made.removed),
            changed=number(made.changed),
        ),
    )


def show(
    context: typer.Context,
    version: Annotated[
        str, typer.Argument(help="help.reference.version", metavar="metavar.version", show_default=False)
    ] = "",
) -> None:
    """Print what is known of a version: the one in force if none is named."""
    told = session(context)
    with told.client() as client:
        found = client.reference.version(version)
    if told.as_json:
        print_json(found)
        return
    number = told.texts.number
    told.out.print(Text(printable(found.reference_version), "bold"))
    facts = (
        ("reference.source", printable(found.source)),
        ("fact.created", told.texts.moment(found.create_time)),
        ("reference.codes", number(found.code_count)),
        ("reference.establishments", number(found.establishment_count)),
        ("reference.contexts", number(found.context_count)),
    )
    for key, value in facts:
        told.out.print(f"  {told.texts(key)}: {value}")


def codes(
    context: typer.Context,
    *,
    prefix: Annotated[str, typer.Option(help="help.reference.prefix", metavar="metavar.text", show_default=False)] = "",
    version: _Version = "",
    limit: Limit = None,
) -> None:
    """List billing codes with their tariffs."""
    told = session(context)
    with told.client() as client:
        _print(told, client.reference.codes(prefix=prefix, version=version), limit)


def establishments(
    context: typer.Context,
    *,
    gmf: Annotated[bool, typer.Option("--gmf", help="help.reference.gmf")] = False,
    version: _Version = "",
    limit: Limit = None,
) -> None:
    """List establishments."""
    told = session(context)
    with told.client() as client:
        _print(told, client.reference.establishments(gmf_only=gmf, version=version), limit)


def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="help.reference.before", metavar="metavar.version")],
    after: Annotated[
        str, typer.Argument(help="help.reference.after", metavar="metavar.version", show_default=False)
    ] = "",
) -> None:
    """Print the codes and establishments that differ between two versions."""
    told = session(context)
    with told.client() as client:
        differences = [*_codes_between(client, before, after), *_places_between(client, before, after)]
        counts = [client.reference.version(name).context_count for name in (before, after)]
    for kind, change, old, new in differences:
        if told.as_json:
            print_json({"kind": kind, "change": change, "before": old, "after": new})
            continue
        mark, style = _STYLES[change]
        for row in (one for one in (old, new) if one is not None):
            told.out.print(Text.assemble((mark, style), " ", _line(told, row)))
    if told.as_json:
        return
    if counts[0] != counts[1]:
        before_count, after_count = map(told.texts.number, counts)
        told.out.print(told.texts("reference.context_counts", before=before_count, after=after_count))
    elif not differences:
        told.out.print(told.texts("reference.no_difference"))


def _read(path: Path, kind: KindWord | None, source: str) -> ReferenceFile:
    data = path.read_bytes()
    found = ReferenceKind(kind.value) if kind else guess_kind(data)
    if found is None:
        raise Problem("reference_kind", ExitCode.USAGE, name=printable(str(path)))
    return ReferenceFile(found, data, source or printable(path.name)[:200])


def _print(told: Session, rows: Iterable[_Any], limit: int | None) -> None:
    told.print_each(rows, lambda row: told.out.print(_line(told, row)), nothing="reference.empty", most=limit)


def _line(told: Session, row: _Any) -> str:
    if isinstance(row, Establishment):
        gmf = "GMF" if row.gmf else ""
        return f"{row.number}  {gmf:<4} {printable(row.type):<12} {printable(row.name)}"
    tariffs = [
        " ".join(
            filter(
                None,
                (
                    one.place,
                    "" if one.amount_cents is None else told.texts.money(one.amount_cents),
                    one.base_units and f"({one.base_units})",
                ),
            ),
        )
        for one in row.tariffs
    ]
    return f"{row.code}  {row.tab:<3} {' · '.join(tariffs)}  {printable(row.section)}"


def _codes_between(client: FacnetClient, before: str, after: str) -> Iterator[_Difference]:
    old = {one.code: one for one in client.reference.codes(version=before)}
    new = {one.code: one for one in client.reference.codes(version=after)}
    return _between("codes", old, new)


def _places_between(client: FacnetClient, before: str, after: str) -> Iterator[_Difference]:
    old = {one.number: one for one in client.reference.establishments(version=before)}
    new = {one.number: one for one in client.reference.establishments(version=after)}
    return _between("establishments", old, new)


def _between(kind: str, old: Mapping[str, _Row], new: Mapping[str, _Row]) -> Iterator[_Difference]:
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        if one != other:
            yield kind, "added" if one is None else "removed" if other is None else "changed", one, other
