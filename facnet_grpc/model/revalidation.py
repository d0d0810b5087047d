"""What would be different if a run were judged by the present rules and reference data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from facnet_grpc.model.result import Result


class ChangeKind(StrEnum):
    """How a result would change."""

    ADDED = "added"
    GONE = "gone"
    CHANGED = "changed"  # other figures, severity or lines


@dataclass(frozen=True, slots=True)
class Change:
    """A result before and after; one of them is None if it was added or is gone."""

    number: int  # from 1, in order of rule, then line
    kind: ChangeKind
    before: Result | None
    after: Result | None


@dataclass(frozen=True, slots=True)
class Revalidation:
    """A row of `revalidations`: what a worker made of the question. The figures count once it is done."""

    id: UUID
    run_id: UUID
    done: bool
    error_code: str | None
    added: int
    gone: int
    changed: int
    unchanged: int
    rule_set_version: str | None
    reference_version: str | None
