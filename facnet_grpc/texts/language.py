"""The languages there are, and which of them a caller asked for."""

from __future__ import annotations

from enum import StrEnum

MAX_HEADER = 256  # characters of an accept-language header that are looked at


class Locale(StrEnum):
    """A language of the service."""

    FR = "fr"
    EN = "en"

    @property
    def tag(self) -> str:
        """The BCP 47 tag, such as `fr-CA`."""
        return f"{self.value}-CA"

    @property
    def babel(self) -> str:
        """The name that Babel knows it by."""
        return f"{self.value}_CA"


def pick(accept_language: str | None) -> Locale:
    """Return the language that an `accept-language` header likes best; French if it says nothing that we speak."""
    best, best_weight = Locale.FR, 0.0
    for part in (accept_language or "")[:MAX_HEADER].split(","):
        tag, _, options = part.partition(";")
        locale = _spoken(tag)
        if locale is not None and (weight := _weight(options)) > best_weight:
            best, best_weight = locale, weight
    return best


def _spoken(tag: str) -> Locale | None:
    language = tag.strip().lower().replace("_", "-").partition("-")[0]
    return next((locale for locale in Locale if locale == language), None)


def _weight(options: str) -> float:
    """Return the q of `;q=0.8`; 1 if it is not given, 0 if it cannot be read."""
    name, _, value = options.strip().partition("=")
    if not name:
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
