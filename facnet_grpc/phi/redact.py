"""What is shown in place of a person: a keyed pseudonym, or a name with all but its initial struck out.

A pseudonym is the HMAC-SHA-256 of the person's key under the deployment's secret, cut to 128 bits. It is equal for
equal keys within a deployment, so that lines can be grouped, and cannot be found by trying all NAMs without the secret.
"""

from __future__ import annotations

import hashlib
import hmac

DIGITS = 32  # hexadecimal: 128 bits


class Redactor:
    """Turns persons into pseudonyms under one secret."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take the secret. Raises `ValueError` if it is empty."""
        if not key:
            raise ValueError("a pseudonym key is needed")
        self._key = key

    def __repr__(self) -> str:
        """Say nothing of the secret."""
        return "Redactor(…)"

    def patient(self, key: str | None) -> str:
        """Return `pt_` and 32 hexadecimal digits for a patient key; nothing for a line without a patient."""
        return f"pt_{self._pseudonym('patient', key)}" if key else ""

    def doctor_key(self, key: str | None) -> str:
        """Return `dr_` and 32 hexadecimal digits for a doctor's number; nothing for none."""
        return f"dr_{self._pseudonym('doctor', key)}" if key else ""

    def doctor_name(self, name: str | None) -> str:
        """Return `Dr M***` for `Last, First`; nothing for no name."""
        if not name or not name.strip():
            return ""
        initial = next((character for character in name.partition(",")[0] if character.isalpha()), "")
        return f"Dr {initial.upper()}***"

    def _pseudonym(self, domain: str, value: str) -> str:
        # The domain keeps a doctor and a patient of the same number apart.
        message = f"facnet.v1.{domain}\0{value}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:DIGITS]
