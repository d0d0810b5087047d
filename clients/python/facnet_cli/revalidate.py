"""`facnet revalidate`: what would change if a run were judged today."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from facnet_cli.output import print_json
from facnet_cli.render import Renderer
from facnet_cli.session import Session, session
from facnet_client.values import ChangeKind, ResultChange, RevalidationSummary

_MARKS = {ChangeKind.ADDED: ("+", "green"), ChangeKind.GONE: ("-", "red"), ChangeKind.CHANGED: ("~", "yellow")}


def revalidate(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
) -> None:
    """Print what would be added, gone or different, then the sum of it."""
    told = session(context)
    with told.client() as client:
        for message in client.revalidate(validation_id):
            if told.as_json:
                key = "summary" if isinstance(message, RevalidationSummary) else "change"
                print_json({key: message})
            elif isinstance(message, RevalidationSummary):
                _summary(told, message)
            else:
                _change(told, message)


def _change(told: Session, change: ResultChange) -> None:
    mark, style = _MARKS.get(change.kind, ("?", ""))
    told.out.print(Text.assemble((f"{mark} {told.texts(f'change.{change.kind.value}')}", style)))
    renderer = Renderer(told.out, told.texts)
    for result in filter(None, (change.before, change.after)):
        renderer.result(result)


def _summary(told: Session, summary: RevalidationSummary) -> None:
    number = told.texts.number
    told.out.print(
        told.texts(
            "revalidate.summary",
            added=number(summary.added),
            gone=number(summary.gone),
            changed=number(summary.changed),
            unchanged=number(summary.unchanged),
        ),
    )
    versions = (
        ("revalidate.rules", summary.rule_set_version_before, summary.rule_set_version_after),
        ("revalidate.reference", summary.reference_version_before, summary.reference_version_after),
    )
    for key, before, after in versions:
        told.out.print(f"  {told.texts(key)}: " + (before if before == after else f"{before} → {after}"))
