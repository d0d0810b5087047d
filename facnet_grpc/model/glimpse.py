"""A result on its way to watchers while other rules still run: what and how bad, but not of whom, and no amount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from facnet_grpc.model.result import Certainty, Severity

MOST = 10  # that watchers are shown of a run


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One of the first results that were found. It travels in events: nothing of a person, no day, no amount."""

    rule_id: str
    rule_version: str
    scenario: str
    severity: Severity
    category: str
    certainty: Certainty
    record_number: int | None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Make one of its fields, as `asdict` gives them."""
        severity, certainty = Severity(fields["severity"]), Certainty(fields["certainty"])
        return cls(**{**fields, "severity": severity, "certainty": certainty})
