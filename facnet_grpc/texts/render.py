"""Renders texts in the reader's language: errors, results of rules, names, and any other text by its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from facnet_grpc.errors import FacnetError, Reason
from facnet_grpc.texts.catalogue import Params, load, prepare
from facnet_grpc.texts.language import Locale

NOTHING = Params({}, {})


def sentence(key: str, locale: Locale, **params: Any) -> str:
    """Return a text by its key; empty if there is none."""
    return load(locale).render(key, prepare(params, locale)) or ""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """Two sentences: what is wrong and where, and what to do about it."""

    message: str
    cure: str


def error_text(error: FacnetError | tuple[str, Mapping[str, Any]], locale: Locale) -> ErrorText:
    """Return the text of an error, or of a stored `(code, params)`. A code that nobody knows reads as INTERNAL."""
    code, params = (error.reason.value, error.params) if isinstance(error, FacnetError) else error
    catalogue = load(locale)
    known = code if f"{code}.message" in catalogue.entries else Reason.INTERNAL.value
    ready = prepare(_with_texts(params, locale), locale, partial(_translate, locale))
    message, cure = (catalogue.render(f"{known}.{part}", ready) or known for part in ("message", "cure"))
    return ErrorText(message, cure)


def reject_text(reason: str, column: str | None, locale: Locale) -> str:
    """Return why a line was rejected; the reason itself if there is no text for it."""
    params = Params({"column": column_name(column, locale)}, {}) if column else NOTHING
    return load(locale).render(f"reject.{reason}", params) or reason


def column_name(column: str, locale: Locale) -> str:
    """Return what the reader calls a canonical column: the usual header in French, plain words in English."""
    return load(locale).render(f"column.{column}", NOTHING) or column


def _with_texts(params: Mapping[str, Any], locale: Locale) -> Mapping[str, Any]:
    """Offer the text of a reject reason as `{reject}` where an error names one, and so that of a `{problem}`."""
    more: dict[str, Any] = {}
    if reason := params.get("reject_reason"):
        more["reject"] = reject_text(str(reason), params.get("column") or None, locale)
    if problem := params.get("problem"):
        more["problem"] = load(locale).render(f"reference_problem.{problem}", NOTHING)
        more["heading"] = params.get("column")  # as it stands in the file, which is not a claim file
    if problem := params.get("webhook_problem"):
        more["webhook_problem"] = load(locale).render(f"webhook_problem.{problem}", NOTHING)
    return {**params, **more}


def _translate(locale: Locale, name: str, text: str) -> str:
    return column_name(text, locale) if "column" in name or name == "missing" else text


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
    facts = {
        "doctor": doctor,
        "service_date": service_date,
        "record_number": affected_records[0] if affected_records else None,
        "records": list(affected_records),
        "at_risk_cents": at_risk_cents,
        "potential_gain_cents": potential_gain_cents,
    }
    params = prepare({**facts, **data}, locale)
    message, solution = (_of_scenario(rule_id, scenario, part, params, locale) for part in ("message", "solution"))
    return ResultText(message, solution)


def scenario_title(rule_id: str, scenario: str, locale: Locale) -> str:
    """Return what a scenario is called, in a few words."""
    return _of_scenario(rule_id, scenario, "title", NOTHING, locale)


def rule_name(rule_id: str, locale: Locale) -> str:
    """Return what a rule is called."""
    return load(locale).render(f"{rule_id}.name", NOTHING) or rule_id


def rule_description(rule_id: str, locale: Locale) -> str:
    """Return what a rule checks, and why; empty if there is no text for it."""
    return load(locale).render(f"{rule_id}.description", NOTHING) or ""


def _of_scenario(rule_id: str, scenario: str, part: str, params: Params, locale: Locale) -> str:
    """Return the rule's own text of a scenario, else the one for any rule (`system_error.message`), else the key."""
    catalogue, key = load(locale), f"{rule_id}.{scenario}.{part}"
    return catalogue.render(key, params) or catalogue.render(f"{scenario}.{part}", params) or key
