"""Everything that the command line says, in the reader's language: PO catalogues, amounts, dates, sizes."""

from __future__ import annotations

import gettext
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files

from babel.dates import format_datetime
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

LANGUAGES = ("fr", "en")
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_SAY_NOTHING = ("", "C", "POSIX")
_STEP = 1024


class Texts:
    """One language. `texts("key", name=value)` is the text, with its placeholders filled in."""

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

    def count(self, key: str, number: int, **values: object) -> str:
        """Return the text behind `key` in the grammatical number of `number`, which it may name as {count}."""
        text = self._translations.ngettext(key, key, number)
        return text.format(count=self.number(number), **values)

    def money(self, cents: int) -> str:
        """Return an amount: `64,80 $` or `$64.80`."""
        return str(format_currency(Decimal(cents).scaleb(-2), "CAD", locale=self._locale))

    def number(self, value: float) -> str:
        """Return a number with the reader's separators."""
        return str(format_decimal(value, locale=self._locale))

    def moment(self, value: datetime | None) -> str:
        """Return a moment in local time, to the minute; a dash for none."""
        if value is None:
            return "-"
        return format_datetime(value.astimezone(), "yyyy-MM-dd HH:mm", locale=self._locale)

    def size(self, octets: int) -> str:
        """Return a size in the largest binary unit that leaves at least one."""
        value, units = float(octets), self("size.units").split()
        while value >= _STEP and len(units) > 1:
            value, units = value / _STEP, units[1:]
        return f"{self.number(round(value, 1))} {units[0]}"

    def duration(self, seconds: float) -> str:
        """Return a length of time: `0,08 s`, `7,3 s`, `2 min 05 s`."""
        if seconds < 60:  # noqa: PLR2004 - seconds of a minute
            return f"{self.number(round(seconds, 1 if seconds >= 1 else 2))} s"
        minutes, rest = divmod(round(seconds), 60)
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
    """Return the language to speak: that of `--lang`; else of the first variable that names one; else French."""
    asked = _asked(arguments)
    if asked in LANGUAGES:
        return asked
    named = next(
        (value for name in _VARIABLES if (value := _language(environ.get(name, ""))) not in _SAY_NOTHING), "fr"
    )
    return "en" if named.startswith("en") else "fr"


def _language(value: str) -> str:
    return value.partition(".")[0]


def _asked(arguments: Sequence[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
        if argument == "--lang":
            return next(iter(arguments[position + 1 : position + 2]), "")
    return ""
