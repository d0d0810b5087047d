"""What was found in a run, in figures: computed once by the worker, stored as JSON with the run, read by callers."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

from facnet_grpc.model.result import Severity


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScenarioFigures(_Frozen):
    """Results of one scenario of one rule with one severity."""

    rule_id: str
    scenario: str
    severity: Severity
    count: int
    at_risk_cents: int
    potential_gain_cents: int


class PassFigures(_Frozen):
    """What a rule looked at and found right."""

    rule_id: str
    scenario: str
    count: int


class NotEvaluable(_Frozen):
    """A rule whose columns are missing or empty in the whole file."""

    rule_id: str
    missing_columns: tuple[str, ...]


class RejectionFigures(_Frozen):
    """Rejected lines of one reason and column (empty: the whole line)."""

    reason: str
    column: str
    count: int


class DefectFigures(_Frozen):
    """Unreadable values of one column in lines that were kept."""

    column: str
    count: int


class DayFigures(_Frozen):
    """Figures of one day of service. `at_risk_cents` counts each line once."""

    service_date: date
    rows: int
    error: int = 0
    warning: int = 0
    optimization: int = 0
    info: int = 0
    at_risk_cents: int = 0
    potential_gain_cents: int = 0


class Summary(_Frozen):
    """The figures of a run. `at_risk_cents` counts each line once, however many rules name it."""

    at_risk_cents: int = 0
    potential_gain_cents: int = 0
    reversal_rows: int = 0  # lines at zero or below
    reversed_lines: int = 0  # lines that one of them cancels
    reversal_lines_without_partner: int = 0  # those that cancel none
    superseded_lines: int = 0  # refused, and corrected since
    scenarios: tuple[ScenarioFigures, ...] = ()
    passes: tuple[PassFigures, ...] = ()
    not_evaluable: tuple[NotEvaluable, ...] = ()
    rejections: tuple[RejectionFigures, ...] = ()
    defects: tuple[DefectFigures, ...] = ()
    days: tuple[DayFigures, ...] = ()
