"""Versions of the reference data: what is known of one, and what is different between two."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReferenceKind(StrEnum):
    """What a reference file holds."""

    CODES = "codes"
    ESTABLISHMENTS = "establishments"
    CONTEXTS = "contexts"


@dataclass(frozen=True, slots=True)
class ReferenceVersion:
    """A row of `reference_versions`."""

    version: str
    origin: str  # shipped or imported
    source: str
    code_count: int
    establishment_count: int
    context_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ReferenceChanges:
    """How many rows differ between two versions. A code with other tariffs is one changed row."""

    added: int = 0
    removed: int = 0
    changed: int = 0

    def __add__(self, other: ReferenceChanges) -> ReferenceChanges:
        """Return the changes of both."""
        return ReferenceChanges(self.added + other.added, self.removed + other.removed, self.changed + other.changed)
