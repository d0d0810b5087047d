"""Runs rules over a file's lines, several at once if there are threads, and puts what they find in order."""

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
from facnet_grpc.rules.api import SYSTEM_ERROR, Outcome, Rule
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.exclusions import find_exclusions
from facnet_grpc.rules.table.parallel import map_ordered

rule_set_version = registry.rule_set_version

_OF_EVERY_RUN = frozenset(
    {
        *("record_number", "invoice", "ramq_id", "service_date", "payment_period", "code"),
        *("preliminary_cents", "paid_cents"),
        *("doctor_key", "doctor_name", "patient_key"),
    },
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What is known after a rule has run, for progress."""

    rule_id: str
    rules_done: int
    rules_total: int
    counts: SeverityCounts  # of all rules so far
    seconds: float  # that this rule took
    error_class: str | None = None  # if it raised
    preview: tuple[ResultPreview, ...] = ()  # the first of its results


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a rule has come to."""

    rule: Rule
    outcome: Outcome
    error_class: str | None
    counts: SeverityCounts
    preview: tuple[ResultPreview, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class RulesReport:
    """Everything that the rules found: numbered results, and the figures that go into the run's summary."""

    results: pa.Table  # RESULT_SCHEMA
    counts: SeverityCounts
    scenarios: tuple[ScenarioFigures, ...]
    passes: tuple[PassFigures, ...]
    not_evaluable: tuple[NotEvaluable, ...]
    days: tuple[DayFigures, ...]
    at_risk_cents: int  # each line once, with the most that any result puts at risk of it
    potential_gain_cents: int
    reversed_lines: int  # cancelled by a negative line, which is counted here only once
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
        """Return the run's summary, with what the reader has to say."""
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
    """Return the columns of `RULE_SCHEMA` that lines need to have for these rules and what is stored of them."""
    every = frozenset(RULE_SCHEMA.names)
    return _OF_EVERY_RUN.union(*(every if rule.info.columns is None else rule.info.columns for rule in rules))


def run_rules(
    lines: pa.Table,
    reference: ReferenceSnapshot,
    rules: Sequence[Rule],
    *,
    between: Callable[[RuleOutcome | None], None],
    missing_columns: Sequence[str] = (),
    threads: int = 1,
) -> RulesReport:
    """Run `rules` over `lines` and return what they found.

    `lines` have the columns of `RULE_SCHEMA`, at least `columns_of` the rules, in one chunk each.
    `between` is called before the first rule with None, then after each rule; what it raises goes through and stops
    the work. `missing_columns` are columns that the file does not have at all: a rule that reads one of them is not
    evaluable, where one that is merely empty says something (a visit without a context is one of a registered
    patient). A rule that raises gives one `system_error` result, and the log gets its id and the exception's class.

    With more than one of `threads`, so many rules are evaluated at once, and `between`, still in the caller's thread,
    hears of them as they end. What is returned is the same. No rule can be interrupted: whatever is raised is raised
    when those that were begun have ended.
    """
    exclusions = find_exclusions(Claims(lines))
    lines = exclusions.mark(lines)
    claims = Claims(lines)
    is_empty = cache(claims.is_empty)  # two threads may both look: it is cheap, and they see the same
    found: list[tuple[Rule, Outcome]] = []
    counts = SeverityCounts()

    def judge(rule: Rule) -> _Verdict:
        return _judge(rule, lines, is_empty, reference, missing_columns)

    between(None)
    with closing(map_ordered(judge, rules, threads)) as verdicts:
        for one in verdicts:
            found.append((one.rule, one.outcome))
            counts = report.add(counts, one.counts)
            rule_id, done = one.rule.info.id, len(found)
            between(RuleOutcome(rule_id, done, len(rules), counts, one.seconds, one.error_class, one.preview))
    found.sort(key=lambda outcome: outcome[0].info.id)
    fruitful = [(rule, outcome) for rule, outcome in found if outcome.findings.num_rows]
    table = results.table(claims, fruitful)
    risk = report.risk_by_row(claims, fruitful)
    return RulesReport(
        results=table,
        counts=counts,
        scenarios=report.scenarios(table),
        passes=report.passes(found),
        not_evaluable=report.not_evaluable(found),
        days=report.days(claims, fruitful, risk),
        at_risk_cents=int(risk.sum()),
        potential_gain_cents=report.total_gain(fruitful),
        reversed_lines=len(exclusions.reversed),
        reversal_lines_without_partner=exclusions.without_partner,
        superseded_lines=len(exclusions.superseded),
    )


def _judge(
    rule: Rule,
    lines: pa.Table,
    is_empty: Callable[[str], bool],
    reference: ReferenceSnapshot,
    missing_columns: Sequence[str],
) -> _Verdict:
    began = time.perf_counter()
    outcome, error_class = _evaluate(rule, lines, is_empty, reference, missing_columns)
    counts = SeverityCounts()
    preview: tuple[ResultPreview, ...] = ()
    if outcome.findings.num_rows:
        counts = report.count_severities(outcome.findings)
        preview = results.preview(rule, outcome.findings)
    return _Verdict(rule, outcome, error_class, counts, preview, time.perf_counter() - began)


def _evaluate(
    rule: Rule,
    lines: pa.Table,
    is_empty: Callable[[str], bool],
    reference: ReferenceSnapshot,
    missing_columns: Sequence[str],
) -> tuple[Outcome, str | None]:
    empty = [name for name in rule.info.needs if is_empty(name)]
    missing = [name for name in (*rule.info.needs, *rule.info.reads) if name in empty or name in missing_columns]
    if missing:
        return Outcome.missing(*missing), None
    try:
        outcome = rule.evaluate(lines, reference)
        _check_shape(outcome)
    except MemoryError:  # says nothing about the rule, and the next one would fail as well
        raise
    except Exception as error:  # noqa: BLE001 - a rule may fail in any way, and the others stand
        error_class = type(error).__name__
        # Without the traceback: it may quote cells.
        _log.error("rule_failed", rule_id=rule.info.id, error_class=error_class)
        return Outcome(_system_error({"error_class": error_class})), error_class
    return outcome, None


def _check_shape(outcome: Outcome) -> None:
    if outcome.findings is findings.NONE:
        return
    if not outcome.findings.schema.equals(FINDING_SCHEMA):
        raise TypeError("findings are not a table of FINDING_SCHEMA")
    outcome.findings.validate()


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
