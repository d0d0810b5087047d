"""What a rule is: its facts, what it returns, and the one method that it has."""

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
    """What there is to know of a rule without running it.

    `needs` are columns that have to hold something somewhere in the file; `reads` are columns that may be empty but
    whose absence from the header leaves the rule without a basis. Either makes the rule not evaluable.

    `columns` are all columns that it looks at; None if that may be any. A run keeps no others in memory.
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
class Outcome:
    """What a rule found: a table of `FINDING_SCHEMA`, and how many things it looked at and found right.

    `not_evaluable` names what was missing: columns of the file, or a part of the reference (`establishments`). With a
    missing column there are no findings; without a part of the reference the other scenarios still stand.
    """

    findings: pa.Table
    passes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    not_evaluable: tuple[str, ...] = ()

    @classmethod
    def missing(cls, *what: str) -> Outcome:
        """Return the outcome of a rule that has nothing to go by."""
        return cls(FINDING_SCHEMA.empty_table(), not_evaluable=what)


class Rule(Protocol):
    """A pure function from lines to findings. Its module's docstring is its documentation page."""

    @property
    def info(self) -> RuleInfo:
        """The rule's facts."""

    def evaluate(self, lines: pa.Table, reference: ReferenceSnapshot) -> Outcome:
        """Check `lines`, a table of `RULE_SCHEMA` with unified dictionaries, in any order of rows.

        It may lack columns that are not among `info.columns`. Other rules may be evaluated at the same time, in other
        threads.
        """
