"""What a check of the doctor found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `code` names its texts."""

    name: str
    ok: bool
    code: str
    value: str = ""
