"""Texts in the reader's language: PO catalogues, amounts, dates, sizes."""

from __future__ import annotations

import gettext
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from unicodedata import category

from babel.dates import format_datetime
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

LANGUAGES = ("fr", "en")
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_NO_LANGUAGE = ("", "C", "POSIX")
_UNIT_FACTOR = 1024
_MINUTE = 60


class Texts:
    """The texts of one language: `texts("key", name=value)` is a text with its placeholders filled in."""

    def __init__(self, language: str, catalogue: Catalog) -> None:
        """Compile `catalogue` in memory."""
        self.language = language
        self._locale = f"{language}_CA"
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        self._translations = gettext.GNUTranslations(compiled)

    def __call__(self, key: str, **values: object) -> str:
        """Return the text behind `key`; the key itself if there is none."""
        text = self._translations.gettext(key)
        return text.format(**values) if values else text

    def find(self, key: str, **values: object) -> str | None:
        """Return the text behind `key`; None if there is none."""
        text = self(key, **values)
        return None if text == key else text

    def count(self, key: str, number: int, **values: object) -> str:
        """Return the singular or plural behind `key` for `number`, which is its placeholder {count}."""
        text = self._translations.ngettext(key, key, number)
        return text.format(count=self.number(number), **values)

    def money(self, cents: int) -> str:
        """Return an amount: `64,80 $` or `$64.80`."""
        return str(format_currency(Decimal(cents).scaleb(-2), "CAD", locale=self._locale))

    def number(self, value: float) -> str:
        """Return a number with the reader's separators."""
        return str(format_decimal(value, locale=self._locale))

    def moment(self, value: datetime | None) -> str:
        """Return a time in the local time zone, to the minute; a dash for None."""
        if value is None:
            return "-"
        return format_datetime(value.astimezone(), "yyyy-MM-dd HH:mm", locale=self._locale)

    def size(self, size_bytes: int) -> str:
        """Return a size in the largest binary unit of which it has at least one: `1,5 Kio`."""
        value, units = float(size_bytes), self("size.units").split()
        while value >= _UNIT_FACTOR and len(units) > 1:
            value, units = value / _UNIT_FACTOR, units[1:]
        return f"{self.number(round(value, 1))} {units[0]}"

    def duration(self, seconds: float) -> str:
        """Return a duration: `0,08 s`, `7,3 s`, `2 min 05 s`."""
        if seconds < _MINUTE:
            return f"{self.number(round(seconds, 1 if seconds >= 1 else 2))} s"
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{self.number(minutes)} min {rest:02} s"


@cache
def load(language: str) -> Texts:
    """Return the texts of a language of `LANGUAGES`."""
    return Texts(language, catalogue(language))


def catalogue(language: str) -> Catalog:
    """Read the catalogue of a language. Raises `PoFileError` if it is malformed."""
    path = files("facnet_cli") / "locale" / language / "cli.po"
    return read_po(io.BytesIO(path.read_bytes()), locale=language, abort_invalid=True)


def choose(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the language of `--lang`; otherwise of the first variable that has one; otherwise French."""
    option = _language_option(arguments)
    if option in LANGUAGES:
        return option
    values = (environ.get(name, "").partition(".")[0] for name in _VARIABLES)
    locale = next((value for value in values if value not in _NO_LANGUAGE), "fr")
    return "en" if locale.startswith("en") else "fr"


def _language_option(arguments: Sequence[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
        if argument == "--lang":
            return next(iter(arguments[position + 1 : position + 2]), "")
    return ""


def printable(text: str) -> str:
    """Return `text` with control characters replaced: file names and names of owners must not control the terminal.

    Spaces of every width stay: French uses no-break spaces.
    """
    return "".join(char if _is_harmless(char) else "\N{REPLACEMENT CHARACTER}" for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or category(char) == "Zs"
