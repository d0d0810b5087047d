"""What is shown in place of a person: a keyed pseudonym, or a name with all but its initial struck out.

A pseudonym is the HMAC-SHA-256 of the person's key under the deployment's secret, cut to 128 bits. It is equal for
equal keys within a deployment, so that lines can be grouped, and cannot be found by trying all NAMs without the secret.
When the secret is changed all pseudonyms do; those under an older one are still understood where a caller names one.

Who sees what of persons: the one place that decides.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Protocol, Self

from facnet_grpc.model.access import Caller
from facnet_grpc.settings.keys import Keys

DIGITS = 32  # hexadecimal: 128 bits


class Redactor:
    """Turns persons into pseudonyms under one secret; knows those under older ones."""

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
        """Say nothing of the secret."""
        return "Redactor(…)"

    def patient(self, key: str | None) -> str:
        """Return `pt_` and 32 hexadecimal digits for a patient key; nothing for a line without a patient."""
        return f"pt_{_pseudonym(self._key, 'patient', key)}" if key else ""

    def doctor_key(self, key: str | None) -> str:
        """Return `dr_` and 32 hexadecimal digits for a doctor's number; nothing for none."""
        return f"dr_{_pseudonym(self._key, 'doctor', key)}" if key else ""

    def is_doctor(self, key: str, said: str) -> bool:
        """Whether `said` is the doctor's pseudonym, under any of the secrets."""
        return any(f"dr_{_pseudonym(secret, 'doctor', key)}" == said for secret in (self._key, *self._older))

    def raw(self, text: str | None) -> str:  # noqa: ARG002 - others show it
        """Return nothing: a line that could not be read may hold anything."""
        return ""

    def doctor_name(self, name: str | None) -> str:
        """Return `Dr M***` for `Last, First`; nothing for no name."""
        if not name or not name.strip():
            return ""
        initial = next((character for character in name.partition(",")[0] if character.isalpha()), "")
        return f"Dr {initial.upper()}***"


def _pseudonym(secret: bytes, domain: str, value: str) -> str:
    # The domain keeps a doctor and a patient of the same number apart.
    message = f"facnet.v1.{domain}\0{value}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[:DIGITS]


MAX_RAW = 1000  # characters


class PersonView(Protocol):
    """What a caller may see of persons; nothing stands for nothing."""

    def patient(self, key: str | None) -> str:
        """Return what stands for a patient."""

    def doctor_key(self, key: str | None) -> str:
        """Return what stands for a doctor's number."""

    def doctor_name(self, name: str | None) -> str:
        """Return what stands for a doctor's name."""

    def is_doctor(self, key: str, said: str) -> bool:
        """Whether `said` may be what the caller has seen of a doctor, also under an older key."""

    def raw(self, text: str | None) -> str:
        """Return what may be seen of a line that could not be read."""


class Unredacted:
    """Persons as the file names them: for callers with the scope `phi:read`, and noted in `phi_access_log`."""

    def patient(self, key: str | None) -> str:
        """Return the NAM."""
        return key or ""

    def doctor_key(self, key: str | None) -> str:
        """Return the number."""
        return key or ""

    def doctor_name(self, name: str | None) -> str:
        """Return the name."""
        return name or ""

    def is_doctor(self, key: str, said: str) -> bool:
        """Whether it is the doctor's number."""
        return key == said

    def raw(self, text: str | None) -> str:
        """Return the beginning of the line: a page of such lines has to fit into an answer."""
        return (text or "")[:MAX_RAW]


UNREDACTED = Unredacted()


def person_view(caller: Caller, redactor: Redactor) -> PersonView:
    """Return what `caller` may see: pseudonyms, unless their scope says otherwise."""
    return UNREDACTED if caller.reads_phi else redactor
