"""Why something failed and what to do about it, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from facnet_grpc.errors import FacnetError, Reason
from facnet_grpc.texts.catalogue import Params, load, prepare
from facnet_grpc.texts.language import Locale

NOTHING = Params({}, {})


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
