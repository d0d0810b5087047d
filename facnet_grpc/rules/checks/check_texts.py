"""Reads the texts of a check: its name, and what each scenario says in each language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from facnet_grpc.rules.checks.model import LANGUAGES, Test, Text

Blame = Callable[..., None]

# What every result offers to a text.
COMMON = frozenset({"code", "doctor", "service_date", "record_number", "records", "at_risk", "potential_gain"})
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_KEYS = ("title", "message", "solution")


def read(
    data: Mapping[str, Any],
    tests: Sequence[Test],
    blame: Blame,
) -> tuple[dict[str, str], dict[tuple[str, str], Text]]:
    """Return the check's names by language and its texts by scenario and language."""
    names: dict[str, str] = {}
    texts: dict[tuple[str, str], Text] = {}
    tables = data.get("text")
    for language in LANGUAGES:
        table = tables.get(language) if isinstance(tables, dict) else None
        if not isinstance(table, dict) or not isinstance(table.get("name"), str):
            blame(f"a check needs [check.text.{language}] with a name", "text", language)
            continue
        names[language] = table["name"]
        for test in tests:
            texts[test.scenario, language] = _text(table, test, language, blame)
        _refuse_unknown(table, {test.scenario for test in tests}, language, blame)
    return names, texts


def _text(table: Mapping[str, Any], test: Test, language: str, blame: Blame) -> Text:
    found = {key: _of_scenario(table.get(key), test.scenario) for key in _KEYS}
    for key in ("message", "solution"):
        if not found[key]:
            blame(f"{key} of scenario {test.scenario!r} is missing", "text", language, key)
    known = COMMON | set(test.primitive.facts) | {fact.removesuffix("_cents") for fact in test.primitive.facts}
    for key, text in found.items():
        for name in _PLACEHOLDER.findall(text):
            if name not in known:
                blame(f"{test.primitive.name} does not offer {{{name}}} to a text", "text", language, key)
    return Text(table["name"], found["title"] or table["name"], found["message"], found["solution"])


def _of_scenario(value: Any, scenario: str) -> str:
    if isinstance(value, dict):
        value = value.get(scenario)
    return value if isinstance(value, str) else ""


def _refuse_unknown(table: Mapping[str, Any], scenarios: set[str], language: str, blame: Blame) -> None:
    for key, value in table.items():
        if key not in ("name", *_KEYS):
            blame(f"a text has name, {', '.join(_KEYS)}, not {key!r}", "text", language, key)
        elif isinstance(value, dict):
            for scenario in sorted(set(value) - scenarios):
                blame(f"there is no scenario {scenario!r}", "text", language, key, scenario)
