"""The interface of a rule: its facts, its method, and what the method returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Protocol

import pyarrow as pa

from facnet_grpc.model.result import FINDING_SCHEMA, Certainty, Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot

SYSTEM_ERROR = "system_error"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A threshold, a tariff or a set of codes that holds on days `valid_from` … `valid_to`, both included."""

    name: str
    value: int | tuple[str, ...]
    unit: str  # cents, patients, minutes, lines; codes or contexts for a set
    source: str
    valid_from: date | None = None  # None: no earlier value is known, so this one stands for all days before
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What is known of a rule without evaluating it.

    `needs` are columns that must have a value in at least one line of the file; `reads` are columns that may be empty
    but must be in the header. A rule without one of them is not evaluable.

    `columns` are all columns of `RULE_SCHEMA` that it reads, None for all. A run keeps only the columns that its rules
    read in memory.
    """

    id: str
    version: str
    category: str
    certainty: Certainty
    severities: tuple[Severity, ...]
    scenarios: tuple[str, ...]
    needs: tuple[str, ...]
    source: str
    parameters: tuple[Parameter, ...] = ()
    reads: tuple[str, ...] = ()
    scenario_certainty: Mapping[str, Certainty] = field(default_factory=lambda: MappingProxyType({}))
    columns: frozenset[str] | None = None

    def certainty_of(self, scenario: str) -> Certainty:
        """Return how sure a scenario is: its own certainty, or the rule's."""
        return self.scenario_certainty.get(scenario, self.certainty)


@dataclass(frozen=True, slots=True)
class RuleFindings:
    """What a rule returns: a table of `FINDING_SCHEMA`, and by scenario the number of checked cases that are right.

    `not_evaluable` names what is missing: columns of the file, or a part of the reference (`establishments`). With a
    missing column there are no findings; without a part of the reference the other scenarios are evaluated.
    """

    findings: pa.Table
    passes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    not_evaluable: tuple[str, ...] = ()

    @classmethod
    def missing(cls, *columns: str) -> RuleFindings:
        """Return no findings, for a rule that lacks columns of the file."""
        return cls(FINDING_SCHEMA.empty_table(), not_evaluable=columns)


class Rule(Protocol):
    """A pure function from lines to findings. The docstring of its module is its documentation page."""

    @property
    def info(self) -> RuleInfo:
        """The rule's facts."""

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> RuleFindings:
        """Check `lines`: a table with the columns of `RULE_SCHEMA` that are in `info.columns`, in one chunk each.

        Rows may be in any order. Numbers may be narrower than in the schema, and `invoice` and `ramq_id` may be
        integers (see `rules.table.arrays.pack`). Rules are evaluated in several threads at the same time.
        """
