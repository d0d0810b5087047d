"""Amounts, numbers and days as the reader writes them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from facnet_grpc.texts.language import Locale

NBSP = "\N{NO-BREAK SPACE}"
REMEMBERED = 4096  # a page of results says the same amounts and days again and again, and Babel takes its time


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
