"""`facnet rules`: which rules the server has; and packs of one's own, checked on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from facnet_cli.local import become
from facnet_cli.output import print_json, printable
from facnet_cli.session import Session, session
from facnet_cli.stack import require
from facnet_client.rules import Rule, RuleParameter

_MOST_VALUES = 12
_Pack = Annotated[Path, typer.Argument(help="help.rules.pack", metavar="metavar.pack")]


def list_(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="help.rules.list.all")] = False,
    category: Annotated[list[str] | None, typer.Option(help="help.results.category", metavar="metavar.name")] = None,
) -> None:
    """List the rules, by id."""
    told = session(context)
    with told.client() as client:
        rules = client.rules.list(categories=category or [], include_disabled=everything)
        told.print_each(rules, partial(_line, told), nothing="rules.empty")


def show(
    context: typer.Context,
    rule_id: Annotated[str, typer.Argument(help="help.rules.id", metavar="metavar.rule")],
) -> None:
    """Print what there is to know of a rule."""
    told = session(context)
    with told.client() as client:
        rule = client.rules.get(rule_id)
    if told.as_json:
        print_json(rule)
        return
    language = told.texts.language
    told.out.print(Text.assemble((printable(rule.rule_id), "bold"), "  ", printable(rule.name[language])))
    if rule.description[language] != rule.name[language]:
        told.out.print(f"  {printable(rule.description[language])}")
    for key, value in _facts(told, rule):
        told.out.print(f"  {told.texts(key)}: {printable(value)}")
    for scenario, title in rule.scenarios.items():
        told.out.print(f"  {told.texts('rules.scenario')} {printable(scenario)}: {printable(title[language])}")
    for parameter in rule.parameters:
        told.out.print(f"  {told.texts('rules.parameter')} {printable(_parameter(told, parameter))}")


def validate(context: typer.Context, pack: _Pack) -> None:
    """Say what is wrong with a rule pack, file and line."""
    require("server")
    become(session(context), "rules", ["validate", str(pack)])


def test(context: typer.Context, pack: _Pack) -> None:
    """Run the cases of a rule pack."""
    require("server")
    become(session(context), "rules", ["test", str(pack)])


def _line(told: Session, rule: Rule) -> None:
    off = "" if rule.enabled else f"  ({told.texts('rules.off')})"
    certainty = told.texts(f"certainty.{rule.certainty.value}")
    told.out.print(
        Text.assemble(
            (f"{printable(rule.rule_id):<22}", "bold" if rule.enabled else "dim"),
            (f" {rule.category:<22} {certainty:<12} ", "dim"),
            printable(rule.name[told.texts.language]),
            (off, "dim"),
        ),
    )


def _facts(told: Session, rule: Rule) -> Iterable[tuple[str, str]]:
    facts = [
        ("rules.off_because", rule.disabled_reason.get(told.texts.language, "")),
        ("rules.category", rule.category),
        ("rules.certainty", told.texts(f"certainty.{rule.certainty.value}")),
        ("rules.severities", ", ".join(told.texts(f"severity.{one.value}") for one in rule.severities)),
        ("rules.needs", ", ".join(rule.needs)),
        ("rules.source", rule.source),
        ("rules.version", rule.version),
    ]
    return ((key, value) for key, value in facts if value)


def _parameter(told: Session, parameter: RuleParameter) -> str:
    value = parameter.value
    if isinstance(value, tuple):
        shown = " ".join(value[:_MOST_VALUES]) + (" …" if len(value) > _MOST_VALUES else "")
    elif parameter.unit == "cents":
        shown = told.texts.money(value)
    else:
        shown = f"{told.texts.number(value)} {parameter.unit}".strip()
    days = f"{parameter.valid_from}..{parameter.valid_to}" if parameter.valid_from or parameter.valid_to else ""
    return f"{parameter.name} = {shown}" + (f" ({days})" if days else "")
