"""The page of rules, in either language: what each one looks at, what it can say, and what it goes by."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping

from docs_markdown import anchor, head, table

from facnet_grpc.rules import registry
from facnet_grpc.rules.api import Parameter, Rule, RuleInfo
from facnet_grpc.rules.checks import packs
from facnet_grpc.rules.registry import RegistryEntry
from facnet_grpc.texts.catalogue import OPTIONAL, extend, load
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import column_name, rule_name, scenario_title, sentence
from facnet_grpc.texts.values import money

# A word or two on a line of their own above an indented paragraph.
_SECTION = re.compile(r"^(\S.*)$(?=\n    )", re.MULTILINE)
MAX_SET = 12  # codes of a set that are shown

WORDS: Mapping[Locale, Mapping[str, str]] = {
    Locale.EN: {
        "title": "The rules",
        "source": "the rules and their texts",
        "rule": "Rule",
        "name": "Name",
        "certainty": "Certainty",
        "severities": "Severities",
        "manual": "Source",
        "category": "Category",
        "columns": "Needs",
        "scenario": "Scenario",
        "says": "What it says",
        "do": "What to do",
        "parameter": "Parameter",
        "value": "Value",
        "unit": "Unit",
        "from": "From",
        "to": "To",
        "more": "and {} more",
        "off": "off",
        "certain": "certain",
        "likely": "likely",
        "uncertain": "uncertain",
        "error": "error",
        "warning": "warning",
        "optimization": "optimization",
        "info": "info",
    },
    Locale.FR: {
        "title": "Les règles",
        "source": "des règles et de leurs textes",
        "rule": "Règle",
        "name": "Nom",
        "certainty": "Certitude",
        "severities": "Gravités",
        "manual": "Source",
        "category": "Catégorie",
        "columns": "Colonnes nécessaires",
        "scenario": "Scénario",
        "says": "Ce que dit la règle",
        "do": "Que faire",
        "parameter": "Paramètre",
        "value": "Valeur",
        "unit": "Unité",
        "from": "Du",
        "to": "Au",
        "more": "et {} autres",
        "off": "désactivée",
        "certain": "certaine",
        "likely": "probable",
        "uncertain": "incertaine",
        "error": "erreur",
        "warning": "avertissement",
        "optimization": "optimisation",
        "info": "information",
    },
}


def page(language: str) -> str:
    """Return the page in `fr` or `en`."""
    locale = Locale(language)
    extend(locale, packs.entries(language))
    rules = registry.load().entries
    words = WORDS[locale]
    lines = head(words["title"], words["source"], locale.value)
    lines += table(
        (words["rule"], words["name"], words["certainty"], words["severities"]),
        (_line(entry, locale) for entry in rules),
    )
    for entry in rules:
        lines += _section(entry, locale)
    return "\n".join(lines)


def _line(entry: RegistryEntry, locale: Locale) -> tuple[str, str, str, str]:
    info, words = entry.info, WORDS[locale]
    severities = ", ".join(words[severity.value] for severity in info.severities) if entry.enabled else words["off"]
    return f"[`{info.id}`]({anchor(info.id)})", _name(entry, locale), words[info.certainty.value], severities


def _name(entry: RegistryEntry, locale: Locale) -> str:
    return entry.names.get(locale.value) or rule_name(entry.info.id, locale)


def _why_off(entry: RegistryEntry, locale: Locale) -> list[str]:
    key = f"rule.{entry.status}"
    text = sentence(f"{key}.{entry.info.id}", locale) or sentence(key, locale, rule=entry.note)
    return [text, ""] if text else []


def _section(entry: RegistryEntry, locale: Locale) -> list[str]:
    info, words = entry.info, WORDS[locale]
    columns = ", ".join(column_name(name, locale) for name in info.needs)
    colon = "\N{NO-BREAK SPACE}:" if locale is Locale.FR else ":"
    lines = [f"## {info.id}", "", f"**{_name(entry, locale)}**", ""]
    lines += [] if entry.enabled else _why_off(entry, locale)
    if description := _template(f"{info.id}.description", locale):
        lines += [description, ""]
    lines += _documentation(entry.rule) if entry.rule and locale is Locale.EN else []
    lines += [
        f"- {words['category']}{colon} `{info.category}`, version {info.version}",
        f"- {words['certainty']}{colon} {words[info.certainty.value]}",
        f"- {words['manual']}{colon} {info.source}",
        *([f"- {words['columns']}{colon} {columns}"] if columns else []),
        "",
    ]
    if info.scenarios:
        lines += table((words["scenario"], words["says"], words["do"]), _scenarios(info, locale))
    return lines + (_parameters(info, locale) if info.parameters else [])


def _parameters(info: RuleInfo, locale: Locale) -> list[str]:
    words = WORDS[locale]
    return table(
        (words["parameter"], words["value"], words["unit"], words["from"], words["to"]),
        (_parameter(parameter, locale) for parameter in info.parameters),
    )


def _documentation(rule: Rule) -> list[str]:
    """Return the docstring of the rule's module, which is its documentation."""
    module = inspect.getmodule(type(rule))
    text = inspect.getdoc(module) if module and ".catalog." in module.__name__ else ""
    return [_SECTION.sub(r"**\1**\n", text).replace("\n    ", "\n"), ""] if text else []


def _scenarios(info: RuleInfo, locale: Locale) -> Iterable[tuple[str, str, str]]:
    for scenario in info.scenarios:
        key = f"{info.id}.{scenario}"
        title = scenario_title(info.id, scenario, locale)
        yield f"`{scenario}`: {title}", _template(f"{key}.message", locale), _template(f"{key}.solution", locale)


def _template(key: str, locale: Locale) -> str:
    """Return a text with its parameters as names, and all its optional parts."""
    entry = load(locale).entries.get(key)
    return OPTIONAL.sub(r"\1", entry.forms[-1]).replace("{", "*").replace("}", "*") if entry else ""


def _parameter(parameter: Parameter, locale: Locale) -> tuple[str, str, str, str, str]:
    days = (day.isoformat() if day else "" for day in (parameter.valid_from, parameter.valid_to))
    return (f"`{parameter.name}`", _value(parameter, locale), parameter.unit, *days)


def _value(parameter: Parameter, locale: Locale) -> str:
    value = parameter.value
    if isinstance(value, int):
        return money(value, locale) if parameter.unit == "cents" else str(value)
    more = len(value) - MAX_SET
    shown = " ".join(value[:MAX_SET])
    return f"{shown} {WORDS[locale]['more'].format(more)}" if more > 0 else shown
