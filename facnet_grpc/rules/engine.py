"""Evaluates rules over a file's lines, in several threads if asked to, and collects their findings in one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import structlog

from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.model.result import FINDING_SCHEMA, ResultPreview, Severity
from facnet_grpc.model.run import SeverityCounts
from facnet_grpc.model.summary import (
    DayFigures,
    DefectFigures,
    NotEvaluable,
    PassFigures,
    RejectionFigures,
    ScenarioFigures,
    Summary,
)
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules import findings, registry, report, results
from facnet_grpc.rules.api import SYSTEM_ERROR, Rule, RuleFindings
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.exclusions import find_exclusions
from facnet_grpc.rules.table.parallel import map_ordered

rule_set_version = registry.rule_set_version

_COLUMNS_OF_EVERY_RUN = frozenset(
    {
        *("record_number", "invoice", "ramq_id", "service_date", "payment_period", "code"),
        *("preliminary_cents", "paid_cents"),
        *("doctor_key", "doctor_name", "patient_key"),
    },
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RuleProgress:
    """Progress of `run_rules` after one rule has been evaluated."""

    rule_id: str
    rules_done: int
    rules_total: int
    counts: SeverityCounts  # of all rules so far
    seconds: float  # duration of this rule
    error_class: str | None = None  # if it raised
    preview: tuple[ResultPreview, ...] = ()  # the first of its results


@dataclass(frozen=True, slots=True)
class _EvaluatedRule:
    """A rule with its findings, their counts and its duration."""

    rule: Rule
    found: RuleFindings
    error_class: str | None
    counts: SeverityCounts
    preview: tuple[ResultPreview, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class RulesReport:
    """What all rules of a run found: numbered results, and the figures of the run's summary."""

    results: pa.Table  # RESULT_SCHEMA
    counts: SeverityCounts
    scenarios: tuple[ScenarioFigures, ...]
    passes: tuple[PassFigures, ...]
    not_evaluable: tuple[NotEvaluable, ...]
    days: tuple[DayFigures, ...]
    at_risk_cents: int  # each line once, with the most that any result puts at risk of it
    potential_gain_cents: int
    reversed_lines: int  # lines that a negative line cancels
    reversal_lines_without_partner: int  # lines at zero or below that cancel nothing
    superseded_lines: int  # refused, and corrected since

    @property
    def reversal_rows(self) -> int:
        """Lines at zero or below: each cancels one line or none."""
        return self.reversed_lines + self.reversal_lines_without_partner

    def summary(
        self,
        rejections: Sequence[RejectionFigures] = (),
        defects: Sequence[DefectFigures] = (),
    ) -> Summary:
        """Return the run's summary, with the rejections and defects that the reader counted."""
        return Summary(
            at_risk_cents=self.at_risk_cents,
            potential_gain_cents=self.potential_gain_cents,
            reversal_rows=self.reversal_rows,
            reversed_lines=self.reversed_lines,
            reversal_lines_without_partner=self.reversal_lines_without_partner,
            superseded_lines=self.superseded_lines,
            scenarios=self.scenarios,
            passes=self.passes,
            not_evaluable=self.not_evaluable,
            rejections=tuple(rejections),
            defects=tuple(defects),
            days=self.days,
        )


def columns_of(rules: Sequence[Rule]) -> frozenset[str]:
    """Return the columns of `RULE_SCHEMA` that these rules, and results and figures of any run, are computed from."""
    every = frozenset(RULE_SCHEMA.names)
    return _COLUMNS_OF_EVERY_RUN.union(*(every if rule.info.columns is None else rule.info.columns for rule in rules))


def run_rules(
    lines: pa.Table,
    reference: ReferenceSnapshot,
    rules: Sequence[Rule],
    *,
    on_rule_done: Callable[[RuleProgress | None], None],
    missing_columns: Sequence[str] = (),
    threads: int = 1,
) -> RulesReport:
    """Evaluate `rules` over `lines` and return their results and figures.

    `lines` is a table with columns of `RULE_SCHEMA`, at least `columns_of(rules)`, in one chunk each.
    `on_rule_done` is called with None before the first rule, then after each rule; an exception that it raises stops
    the evaluation and is passed on. `missing_columns` are columns that the file does not have at all: a rule that
    reads one of them is not evaluable. A column that is present and empty is information (a visit without a context is
    one of a registered patient). A rule that raises gives one `system_error` result; the log gets its id and the class
    of the exception.

    `threads` rules are evaluated in parallel; `on_rule_done` is called in the caller's thread, in the order in which
    rules end. The report does not depend on `threads`. A rule cannot be interrupted: an exception is raised after all
    rules that have started have ended.
    """
    exclusions = find_exclusions(Claims(lines))
    lines = exclusions.mark(lines)
    claims = Claims(lines)
    is_empty = cache(claims.is_empty)  # two threads may compute it twice: it is cheap, and the value is the same
    evaluated: list[tuple[Rule, RuleFindings]] = []
    counts = SeverityCounts()

    def evaluate(rule: Rule) -> _EvaluatedRule:
        return _evaluate(rule, lines, is_empty, reference, missing_columns)

    on_rule_done(None)
    with closing(map_ordered(evaluate, rules, threads)) as done:
        for one in done:
            evaluated.append((one.rule, one.found))
            counts = report.add(counts, one.counts)
            progress = (one.rule.info.id, len(evaluated), len(rules), counts, one.seconds, one.error_class, one.preview)
            on_rule_done(RuleProgress(*progress))
    evaluated.sort(key=lambda pair: pair[0].info.id)
    with_findings = [(rule, found) for rule, found in evaluated if found.findings.num_rows]
    table = results.table(claims, with_findings)
    risk = report.risk_by_row(claims, with_findings)
    return RulesReport(
        results=table,
        counts=counts,
        scenarios=report.scenarios(table),
        passes=report.passes(evaluated),
        not_evaluable=report.not_evaluable(evaluated),
        days=report.days(claims, with_findings, risk),
        at_risk_cents=int(risk.sum()),
        potential_gain_cents=report.total_gain(with_findings),
        reversed_lines=len(exclusions.reversed),
        reversal_lines_without_partner=exclusions.without_partner,
        superseded_lines=len(exclusions.superseded),
    )


def _evaluate(
    rule: Rule,
    lines: pa.Table,
    is_empty: Callable[[str], bool],
    reference: ReferenceSnapshot,
    missing_columns: Sequence[str],
) -> _EvaluatedRule:
    began = time.perf_counter()
    found, error_class = _find(rule, lines, is_empty, reference, missing_columns)
    counts = SeverityCounts()
    preview: tuple[ResultPreview, ...] = ()
    if found.findings.num_rows:
        counts = report.count_severities(found.findings)
        preview = results.preview(rule, found.findings)
    return _EvaluatedRule(rule, found, error_class, counts, preview, time.perf_counter() - began)


def _find(
    rule: Rule,
    lines: pa.Table,
    is_empty: Callable[[str], bool],
    reference: ReferenceSnapshot,
    missing_columns: Sequence[str],
) -> tuple[RuleFindings, str | None]:
    empty = [name for name in rule.info.needs if is_empty(name)]
    missing = [name for name in (*rule.info.needs, *rule.info.reads) if name in empty or name in missing_columns]
    if missing:
        return RuleFindings.missing(*missing), None
    try:
        found = rule.evaluate(lines, reference)
        _check_schema(found)
    except MemoryError:  # not the fault of the rule, and the next one would fail as well
        raise
    except Exception as error:  # noqa: BLE001 - a rule may fail in any way, and the others stand
        error_class = type(error).__name__
        # Without the traceback: it may contain cells.
        _log.error("rule_failed", rule_id=rule.info.id, error_class=error_class)
        return RuleFindings(_system_error({"error_class": error_class})), error_class
    return found, None


def _check_schema(found: RuleFindings) -> None:
    if found.findings is findings.NONE:
        return
    if not found.findings.schema.equals(FINDING_SCHEMA):
        raise TypeError("findings are not a table of FINDING_SCHEMA")
    found.findings.validate()


def _system_error(facts: Mapping[str, str]) -> pa.Table:
    columns: dict[str, object] = {
        "scenario": [SYSTEM_ERROR],
        "severity": [Severity.WARNING.value],
        "affected_records": [[]],
        "doctor_key": [None],
        "patient_key": [None],
        "service_date": [None],
        "at_risk_cents": [0],
        "potential_gain_cents": [0],
        "risk_records": [[]],
        "risk_cents": [[]],
        "data": findings.objects(1, facts),
    }
    return pa.table(columns, schema=FINDING_SCHEMA)
