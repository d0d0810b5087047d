"""What a rule found and what to do about it, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from facnet_grpc.texts.catalogue import Params, load, prepare
from facnet_grpc.texts.language import Locale

NOTHING = Params({}, {})


@dataclass(frozen=True, slots=True)
class ResultText:
    """What was found, and what to do about it."""

    message: str
    solution: str


def result_text(  # noqa: PLR0913 - a result has as many facts that a text may name
    rule_id: str,
    scenario: str,
    data: Mapping[str, Any],
    locale: Locale,
    *,
    doctor: str = "",
    service_date: date | None = None,
    affected_records: Sequence[int] = (),
    at_risk_cents: int = 0,
    potential_gain_cents: int = 0,
) -> ResultText:
    """Return the text of a result; the key itself where there is none, such as for a rule of the user's own.

    Besides `data`, a text may use `{doctor}` (redacted already), `{service_date}`, `{record_number}` (the main line),
    `{records}`, `{at_risk}` and `{potential_gain}`.
    """
    params = prepare(
        {
            "doctor": doctor,
            "service_date": service_date,
            "record_number": affected_records[0] if affected_records else None,
            "records": list(affected_records),
            "at_risk_cents": at_risk_cents,
            "potential_gain_cents": potential_gain_cents,
            **data,
        },
        locale,
    )
    message, solution = (_render(rule_id, scenario, part, params, locale) for part in ("message", "solution"))
    return ResultText(message, solution)


def scenario_title(rule_id: str, scenario: str, locale: Locale) -> str:
    """Return what a scenario is called, in a few words."""
    return _render(rule_id, scenario, "title", NOTHING, locale)


def rule_name(rule_id: str, locale: Locale) -> str:
    """Return what a rule is called."""
    return load(locale).render(f"{rule_id}.name", NOTHING) or rule_id


def rule_description(rule_id: str, locale: Locale) -> str:
    """Return what a rule checks, and why; empty if there is no text for it."""
    return load(locale).render(f"{rule_id}.description", NOTHING) or ""


def sentence(key: str, locale: Locale, **params: Any) -> str:
    """Return a text by its key; empty if there is none."""
    return load(locale).render(key, prepare(params, locale)) or ""


def _render(rule_id: str, scenario: str, part: str, params: Params, locale: Locale) -> str:
    """Return the rule's own text of a scenario, else the one for any rule (`system_error.message`), else the key."""
    catalogue, key = load(locale), f"{rule_id}.{scenario}.{part}"
    return catalogue.render(key, params) or catalogue.render(f"{scenario}.{part}", params) or key
