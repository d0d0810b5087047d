"""Parameters on their way into a text: formatted for the reader by what their names say they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from facnet_grpc.texts import values
from facnet_grpc.texts.catalogue import Params
from facnet_grpc.texts.language import Locale

# Identifiers, not quantities: no thousands separators.
PLAIN = frozenset({"attempt", "code", "line", "place", "record_number", "year"})


def prepare(
    raw: Mapping[str, Any],
    locale: Locale,
    translate: Callable[[str, str], str] = lambda _, text: text,
) -> Params:
    """Format the parameters of a text.

    An amount `x_cents` is offered as `x`, a size `x_bytes` likewise; both also as plain numbers under their own names.
    A list counts by its length. `translate(name, text)` may give a string of its own language.
    """
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, value in raw.items():
        if value is None or value in ("", [], ()):
            continue
        texts[name] = _text(name, value, locale, translate)
        short, formatted = _measured(name, value, locale)
        if formatted:
            texts.setdefault(short, formatted)
        counts[name] = _count(value)
    return Params(texts, counts)


def _count(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return len(value)
    return abs(int(value)) if isinstance(value, (int, float)) else 1


def _measured(name: str, value: Any, locale: Locale) -> tuple[str, str]:
    if isinstance(value, (int, float)):
        if name.endswith("_cents"):
            return name.removesuffix("_cents"), values.money(int(value), locale)
        if name.endswith("_bytes"):
            return name.removesuffix("_bytes"), values.size(int(value), locale)
    return name, ""


def _text(name: str, value: Any, locale: Locale, translate: Callable[[str, str], str]) -> str:
    if isinstance(value, (list, tuple)):
        return values.listed([_text(name, item, locale, translate) for item in value], locale)
    if isinstance(value, date):
        return values.day(value, locale)
    if isinstance(value, (int, float)):
        # JSON gives whole numbers back as floats.
        whole = int(value) if float(value).is_integer() else value
        return str(whole) if _is_plain(name) else values.number(whole, locale)
    text = str(value)
    if name == "date" or name.endswith(("_date", "_dates")):
        return _day(text, locale)
    return translate(name, text)


def _is_plain(name: str) -> bool:
    return name in PLAIN or name.endswith(("_code", "_codes", "_records", "_year", "records", "_line"))


def _day(text: str, locale: Locale) -> str:
    try:
        return values.day(date.fromisoformat(text), locale)
    except ValueError:
        return text
