"""Who sees what of persons: the one place that decides."""

from __future__ import annotations

from typing import Protocol

from facnet_grpc.model.access import Caller
from facnet_grpc.phi.redact import Redactor

MAX_RAW = 1000  # characters


class Persons(Protocol):
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


class AsTheyAre:
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


AS_THEY_ARE = AsTheyAre()


def persons(caller: Caller, redactor: Redactor) -> Persons:
    """Return what `caller` may see: pseudonyms, unless their scope says otherwise."""
    return AS_THEY_ARE if caller.reads_phi else redactor
