"""Redaction of persons in responses: keyed pseudonyms, and names reduced to an initial. `person_view` decides for whom.

A pseudonym is the HMAC-SHA-256 of a person's key under the deployment's secret, truncated to 128 bits. Equal keys have
equal pseudonyms within a deployment, so rows can be grouped, and without the secret no NAM can be found by trying all.
After a change of the secret all pseudonyms change; those under an older secret are still accepted in filters.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Protocol, Self

from facnet_grpc.model.access import Caller
from facnet_grpc.settings.keys import Keys

DIGITS = 32  # hexadecimal: 128 bits
MAX_RAW = 1000  # characters of a rejected line


class Redactor:
    """Replaces persons by pseudonyms under one secret; recognizes pseudonyms under older ones."""

    __slots__ = ("_key", "_older")

    def __init__(self, key: bytes, *older: bytes) -> None:
        """Take the secret. Raises `ValueError` if it is empty."""
        if not key:
            raise ValueError("a pseudonym key is needed")
        self._key = key
        self._older = older

    @classmethod
    def of(cls, keys: Keys) -> Self:
        """Take the secrets of the settings."""
        return cls(*(key.secret for key in keys.all))

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return "Redactor(…)"

    def patient(self, key: str | None) -> str:
        """Return `pt_` and 32 hexadecimal digits; an empty text for a line without a patient."""
        return f"pt_{_pseudonym(self._key, 'patient', key)}" if key else ""

    def doctor_key(self, key: str | None) -> str:
        """Return `dr_` and 32 hexadecimal digits; an empty text for no doctor."""
        return f"dr_{_pseudonym(self._key, 'doctor', key)}" if key else ""

    def is_doctor(self, key: str, shown: str) -> bool:
        """Whether `shown` is the doctor's pseudonym under any of the secrets."""
        return any(f"dr_{_pseudonym(secret, 'doctor', key)}" == shown for secret in (self._key, *self._older))

    def raw(self, text: str | None) -> str:  # noqa: ARG002 - `Unredacted` uses it
        """Return an empty text: a rejected line may contain anything."""
        return ""

    def doctor_name(self, name: str | None) -> str:
        """Return `Dr L***` for `Last, First`; an empty text for no name."""
        if not name or not name.strip():
            return ""
        initial = next((character for character in name.partition(",")[0] if character.isalpha()), "")
        return f"Dr {initial.upper()}***"


def _pseudonym(secret: bytes, domain: str, value: str) -> str:
    # The domain separates a doctor and a patient with the same number.
    message = f"facnet.v1.{domain}\0{value}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[:DIGITS]


class PersonView(Protocol):
    """What a caller may see of persons. An empty text stands for no person."""

    def patient(self, key: str | None) -> str:
        """Return what is shown for a patient key."""

    def doctor_key(self, key: str | None) -> str:
        """Return what is shown for a doctor's number."""

    def doctor_name(self, name: str | None) -> str:
        """Return what is shown for a doctor's name."""

    def is_doctor(self, key: str, shown: str) -> bool:
        """Whether `shown` is what the caller sees for a doctor's number, now or under an older secret."""

    def raw(self, text: str | None) -> str:
        """Return what is shown of a rejected line."""


class Unredacted:
    """Persons as in the file, for callers with the scope `phi:read`; each access is recorded in `phi_access_log`."""

    def patient(self, key: str | None) -> str:
        """Return the NAM."""
        return key or ""

    def doctor_key(self, key: str | None) -> str:
        """Return the number."""
        return key or ""

    def doctor_name(self, name: str | None) -> str:
        """Return the name."""
        return name or ""

    def is_doctor(self, key: str, shown: str) -> bool:
        """Whether `shown` is the doctor's number."""
        return key == shown

    def raw(self, text: str | None) -> str:
        """Return the first `MAX_RAW` characters, so that a page of lines fits into a response."""
        return (text or "")[:MAX_RAW]


UNREDACTED = Unredacted()


def person_view(caller: Caller, redactor: Redactor) -> PersonView:
    """Return what `caller` may see: pseudonyms, or with the scope `phi:read` persons as they are."""
    return UNREDACTED if caller.reads_phi else redactor
