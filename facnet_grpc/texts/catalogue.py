"""The catalogues, read once per language, and the parameters of texts, formatted by their names.

See the package for how an entry is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from gettext import c2py
from importlib.resources import files
from typing import Any

from babel.lists import format_list
from babel.messages.pofile import read_po

from facnet_grpc.texts import values
from facnet_grpc.texts.language import Locale

STEP = 1024
UNITS = ("bytes", "kib", "mib", "gib", "tib")  # binary ones, which Babel does not have
MAX_LISTED = 10
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
            return name.removesuffix("_bytes"), size(int(value), locale)
    return name, ""


def _text(name: str, value: Any, locale: Locale, translate: Callable[[str, str], str]) -> str:
    if isinstance(value, (list, tuple)):
        return listed([_text(name, item, locale, translate) for item in value], locale)
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


PLACEHOLDER = re.compile(r"\{(\w+)\}")
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
UNKNOWN = "?"  # in place of a parameter that is not there; the tests know of none


@dataclass(frozen=True, slots=True)
class Entry:
    """One text: its plural forms (one if it has no plural), and the parameter that counts."""

    forms: tuple[str, ...]
    counter: str = "count"


@dataclass(frozen=True, slots=True)
class Params:
    """What a text is filled with: each parameter as the reader writes it, and the numbers that choose a plural."""

    texts: Mapping[str, str]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All texts of one language by key."""

    entries: Mapping[str, Entry]
    plural: Callable[[int], int]

    def render(self, key: str, params: Params) -> str | None:
        """Return the text of `key` with its parameters filled in, or None if there is no such text."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        form = min(self.plural(params.counts.get(entry.counter, 1)), len(entry.forms) - 1)
        return fill(entry.forms[form], params.texts)


_ADDED: dict[Locale, dict[str, Entry]] = {locale: {} for locale in Locale}


def extend(locale: Locale, texts: Mapping[str, str]) -> None:
    """Add texts that do not come from a catalogue, such as those of rule packs; once, before the first is asked for."""
    _ADDED[locale].update((key, Entry((text,))) for key, text in texts.items())
    load.cache_clear()


@lru_cache
def load(locale: Locale) -> Catalogue:
    """Read every `.po` file of a language. Raises `ValueError` if a key is in two of them.

    What was added by `extend` stands in only where no catalogue has a text.
    """
    entries: dict[str, Entry] = {}
    plural = "n != 1"
    folder = files(__package__) / "locale" / locale.value
    for source in sorted(folder.iterdir(), key=lambda path: path.name):
        with source.open("rb") as file:
            catalog = read_po(file, locale=locale.value, abort_invalid=True)
        plural = catalog.plural_expr
        for message in catalog:
            key, entry = _entry(message.id, message.string)
            if key in entries:
                raise ValueError(f"{key} is in two catalogues of {locale}")
            if key and all(entry.forms):
                entries[key] = entry
    return Catalogue(_ADDED[locale] | entries, c2py(plural))


def _entry(key: str | Sequence[str], text: str | Sequence[str] | None) -> tuple[str, Entry]:
    forms = (text,) if isinstance(text, str) else tuple(text or ())
    if isinstance(key, str):
        return key, Entry(forms)
    counter = PLACEHOLDER.search(key[1])
    return key[0], Entry(forms, counter[1] if counter else "count")


def fill(template: str, texts: Mapping[str, str]) -> str:
    """Fill in what is known; leave out the parts in brackets of which something is not."""

    def part(match: re.Match[str]) -> str:
        return match[1] if all(name in texts for name in PLACEHOLDER.findall(match[1])) else ""

    return PLACEHOLDER.sub(lambda match: texts.get(match[1], UNKNOWN), OPTIONAL.sub(part, template))


def size(octets: int, locale: Locale) -> str:
    """Return a size in the largest binary unit that leaves at least one: `2 Gio` or `2 GiB`."""
    value, unit = float(octets), 0
    while abs(value) >= STEP and unit < len(UNITS) - 1:
        value, unit = value / STEP, unit + 1
    name = load(locale).render(f"unit.{UNITS[unit]}", Params({}, {}))
    return f"{values.number(round(value, 1), locale)}{values.NBSP}{name}"


def listed(items: Sequence[str], locale: Locale) -> str:
    """Return `a, b et c`; after ten items, how many more there are."""
    shown = list(items)
    if len(shown) > MAX_LISTED:
        more = load(locale).render("list.others", prepare({"count": len(shown) - MAX_LISTED + 1}, locale))
        shown = [*shown[: MAX_LISTED - 1], str(more)]
    return str(format_list(shown, locale=locale.babel))
