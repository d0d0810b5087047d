"""Amounts, days, sizes and lists as the reader writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal

from facnet_grpc.texts.language import Locale

NBSP = "\N{NO-BREAK SPACE}"
STEP = 1024
REMEMBERED = 4096  # a page of results says the same amounts and days again and again, and Babel takes its time
MAX_LISTED = 10
_UNITS = {
    Locale.FR: ("octets", "Kio", "Mio", "Gio", "Tio"),
    Locale.EN: ("bytes", "KiB", "MiB", "GiB", "TiB"),
}
_OTHERS = {Locale.FR: "{} autres", Locale.EN: "{} others"}


@lru_cache(REMEMBERED)
def money(cents: int, locale: Locale) -> str:
    """Return an amount: `64,80 $` (with a no-break space) or `$64.80`."""
    return str(format_currency(Decimal(cents).scaleb(-2), "CAD", locale=locale.babel))


@lru_cache(REMEMBERED)
def number(value: float, locale: Locale) -> str:
    """Return a number with the reader's separators."""
    return str(format_decimal(value, locale=locale.babel))


@lru_cache(REMEMBERED)
def day(value: date, locale: Locale) -> str:
    """Return a day: `1er mars 2025` or `March 1, 2025`."""
    text = format_date(value, "long", locale=locale.babel)
    if locale is not Locale.FR:
        return text
    number_of_day, _, rest = text.partition(" ")
    return f"{'1er' if number_of_day == '1' else number_of_day}{NBSP}{rest}"


def size(octets: int, locale: Locale) -> str:
    """Return a size in the largest binary unit that leaves at least one: `2 Gio` or `2 GiB`."""
    value, unit = float(octets), 0
    while abs(value) >= STEP and unit < len(_UNITS[locale]) - 1:
        value, unit = value / STEP, unit + 1
    return f"{number(round(value, 1), locale)}{NBSP}{_UNITS[locale][unit]}"


def listed(items: Sequence[str], locale: Locale) -> str:
    """Return `a, b et c`; after ten items, how many more there are."""
    shown = list(items)
    if len(shown) > MAX_LISTED:
        shown = [*shown[: MAX_LISTED - 1], _OTHERS[locale].format(number(len(shown) - MAX_LISTED + 1, locale))]
    return format_list(shown, locale=locale.babel)
