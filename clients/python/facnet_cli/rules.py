"""`facnet rules`: the rules of the server, and rule packs of one's own, which are checked on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facnet_cli import views
from facnet_cli.columns import RULES
from facnet_cli.local import run_service_command
from facnet_cli.options import Category
from facnet_cli.session import get_session

_Pack = Annotated[Path, typer.Argument(help="help.rules.pack", metavar="metavar.pack")]


def list_(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="help.rules.list.all")] = False,
    category: Category = None,
) -> None:
    """List the rules, by id."""
    session = get_session(context)
    with session.client() as client:
        rules = client.rules.list(categories=category or [], include_disabled=everything)
        session.print_rows(rules, RULES, empty="rules.empty")


def show(
    context: typer.Context,
    rule_id: Annotated[str, typer.Argument(help="help.rules.id", metavar="metavar.rule")],
) -> None:
    """Print a rule, its scenarios, its parameters and its source."""
    session = get_session(context)
    with session.client() as client:
        rule = client.rules.get(rule_id)
    session.answer(rule, views.rule(rule, session.texts))


def validate(context: typer.Context, pack: _Pack) -> None:
    """Report the errors of a rule pack, with file and line."""
    run_service_command(get_session(context), "rules", ["validate", str(pack)])


def test(context: typer.Context, pack: _Pack) -> None:
    """Run the test cases of a rule pack."""
    run_service_command(get_session(context), "rules", ["test", str(pack)])
