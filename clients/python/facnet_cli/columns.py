"""The columns of every kind of row that the command line prints, and the words and styles in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from rich.progress_bar import ProgressBar
from rich.table import Table

from facnet_cli.tables import Column, Columns
from facnet_cli.texts import Texts
from facnet_client.operations import ActiveJob, FailedJob, JobCounts, JobKind, Worker
from facnet_client.reference import BillingCode, Establishment, ReferenceVersion, Tariff
from facnet_client.rules import Rule, RuleParameter
from facnet_client.values import (
    LogEntry,
    LogLevel,
    Phase,
    Record,
    RejectedRow,
    Result,
    ScenarioSummary,
    Severity,
    Status,
    Validation,
)

SEVERITY_STYLES = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.OPTIMIZATION: "green",
    Severity.INFO: "cyan",
    Severity.UNSPECIFIED: "",
}
STATUS_STYLES = {Status.COMPLETED: "green", Status.FAILED: "red", Status.CANCELLED: "yellow"}
_LEVEL_STYLES = {LogLevel.WARNING: "yellow", LogLevel.ERROR: "red", LogLevel.DEBUG: "dim"}
_MAX_VALUES = 12  # of a parameter that is a set of codes
_BAR_WIDTH = 20
_WORKER_ID = 8  # characters, which are enough to tell workers apart


def severity(value: Severity, texts: Texts) -> str:
    """Return the word for a severity."""
    return texts(f"severity.{value.value}")


def status(value: Status, texts: Texts) -> str:
    """Return the word for the status of a run."""
    return texts(f"status.{value.value}")


def located(column: str) -> str:
    """Return ` (column)`, or nothing if an error is not about one column."""
    return f" ({column})" if column else ""


def _expected(run: Validation, texts: Texts) -> str:
    """Return how many runs start before one that waits, and how long it takes until its end, as far as is known."""
    parts = []
    if run.queue_position is not None:
        parts.append(texts.count("bar.ahead", run.queue_position) if run.queue_position else texts("queue.next"))
    if run.eta_seconds is not None:
        parts.append(texts("bar.eta", time=texts.duration(run.eta_seconds)))
    return " · ".join(parts)


def _status_style(run: Validation) -> str:
    return STATUS_STYLES.get(run.status, "")


def _result_counts(run: Validation, _texts: Texts) -> str:
    counts = run.result_counts
    return f"{counts.error}/{counts.warning}/{counts.optimization}/{counts.info}"


RUNS: Columns[Validation] = (
    Column("fact.id", lambda run, _: run.validation_id, width=36),
    Column("fact.created", lambda run, texts: texts.moment(run.create_time), width=16),
    Column("column.status", lambda run, texts: status(run.status, texts), _status_style, width=10),
    Column("fact.rows", lambda run, texts: texts.number(run.total_rows), justify="right", width=11),
    Column("column.results", _result_counts, width=15),
    Column("column.file", lambda run, _: run.file_name),
    Column("fact.expected", _expected, "dim"),
)
RUN_FACTS: Columns[Validation] = (
    Column("fact.id", lambda run, _: run.validation_id),
    Column("fact.created", lambda run, texts: texts.moment(run.create_time)),
    Column("fact.ended", lambda run, texts: texts.moment(run.end_time)),
    Column("fact.expected", _expected),
    Column("fact.size", lambda run, texts: texts.size(run.size_bytes)),
    Column("fact.rows", lambda run, texts: texts.number(run.total_rows)),
    Column("fact.rejected", lambda run, texts: texts.number(run.rejected_rows)),
    Column("fact.encoding", lambda run, _: run.encoding),
    Column("fact.attempt", lambda run, texts: texts.number(run.attempt)),
    Column("fact.batch", lambda run, _: run.batch_id),
    Column("fact.labels", lambda run, _: ", ".join(f"{key}={value}" for key, value in run.labels.items())),
    Column("fact.rules", lambda run, _: ", ".join(run.rule_ids)),
    Column("fact.versions", lambda run, _: " / ".join(filter(None, [run.rule_set_version, run.reference_version]))),
)


def _scenario(row: ScenarioSummary, _texts: Texts) -> str:
    """Return the name of the rule and the title of the scenario; once if they are the same."""
    return " · ".join(dict.fromkeys(filter(None, [row.rule_name or row.rule_id, row.title or row.scenario])))


def _money_or_nothing(cents: int, texts: Texts) -> str:
    return texts.money(cents) if cents else ""


SCENARIOS: Columns[ScenarioSummary] = (
    Column("column.rule", _scenario, wrap=True),
    Column(
        "column.severity", lambda row, texts: severity(row.severity, texts), lambda row: SEVERITY_STYLES[row.severity]
    ),
    Column("column.count", lambda row, texts: texts.number(row.count), justify="right"),
    Column("column.at_risk", lambda row, texts: _money_or_nothing(row.at_risk_cents, texts), justify="right"),
    Column("column.gain", lambda row, texts: _money_or_nothing(row.potential_gain_cents, texts), justify="right"),
)


def _amount(result: Result, texts: Texts) -> str:
    if result.at_risk_cents:
        return f"-{texts.money(result.at_risk_cents)}"
    return f"+{texts.money(result.potential_gain_cents)}" if result.potential_gain_cents else ""


def _record(result: Result, texts: Texts) -> str:
    return texts("result.line", number=texts.number(result.record_number)) if result.record_number else ""


_SEVERITY: Column[Result] = Column(
    "column.severity",
    lambda result, texts: severity(result.severity, texts),
    lambda result: SEVERITY_STYLES[result.severity],
    width=13,
)
RESULTS: Columns[Result] = (
    _SEVERITY,
    Column("column.amount", _amount, justify="right", width=12),
    Column("column.rule", lambda result, _: f"{result.rule_id}.{result.scenario}"),
    Column("column.day", lambda result, _: result.service_date, "dim"),
    Column("column.doctor", lambda result, _: result.doctor, "dim"),
    Column("column.line", _record, "dim"),
)
PREVIEW: Columns[Result] = (
    _SEVERITY,
    Column("column.message", lambda result, _: result.message),
    Column("column.line", _record, "dim"),
)
REJECTED: Columns[RejectedRow] = (
    Column("column.line", lambda row, texts: texts.number(row.record_number), justify="right", width=11),
    Column("column.reason", lambda row, _: row.reason + located(row.column)),
    Column("column.message", lambda row, _: row.message),
)
RECORDS: Columns[Record] = (
    Column("column.line", lambda row, texts: texts.number(row.record_number), justify="right", width=11),
    Column("column.day", lambda row, _: row.service_date, width=10),
    Column("column.time", lambda row, _: "-".join(filter(None, [row.start_time[:5], row.end_time[:5]])), width=11),
    Column("column.place", lambda row, _: row.place, width=5),
    Column("column.code", lambda row, _: row.code, width=5),
    Column("column.units", lambda row, _: "" if row.units is None else f"x{row.units}", width=4),
    Column("column.amount", lambda row, texts: texts.money(row.preliminary_cents), justify="right", width=12),
    Column(
        "column.paid",
        lambda row, texts: "" if row.paid_cents is None else texts.money(row.paid_cents),
        justify="right",
        width=12,
    ),
    Column("column.doctor", lambda row, _: row.doctor),
    Column("column.context", lambda row, _: " ".join(row.context)),
)


def _data(entry: LogEntry, _texts: Texts) -> str:
    values = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for value in entry.data.values()
    )
    return "  ".join(f"{name}={value}" for name, value in zip(entry.data, values, strict=True))


LOG_ENTRIES: Columns[LogEntry] = (
    Column("column.time", lambda entry, _: f"{entry.time.astimezone():%Y-%m-%d %H:%M:%S}", width=19),
    Column(
        "column.severity", lambda entry, _: entry.level.value, lambda entry: _LEVEL_STYLES.get(entry.level, ""), width=7
    ),
    Column("rules.source", lambda entry, _: entry.source, width=6),
    Column("column.event", lambda entry, _: entry.event),
    Column("column.data", _data, "dim"),
)


def _replay(job: FailedJob, texts: Texts) -> str:
    if job.kind is JobKind.REVALIDATION:
        return texts("failed.revalidation")
    return texts("failed.kept", time=texts.moment(job.expire_time)) if job.can_replay else texts("failed.gone")


FAILED_JOBS: Columns[FailedJob] = (
    Column("fact.id", lambda job, _: job.validation_id, width=36),
    Column("fact.ended", lambda job, texts: texts.moment(job.end_time), width=16),
    Column("column.error", lambda job, _: job.error.code, "red", width=20),
    Column("fact.attempt", lambda job, texts: texts.number(job.attempt), justify="right", width=2),
    Column("column.owner", lambda job, _: job.owner),
    Column("column.file", lambda job, _: job.file_name),
    Column("column.replay", _replay, "dim"),
)


def _parameter(parameter: RuleParameter, texts: Texts) -> str:
    value = parameter.value
    if isinstance(value, tuple):
        shown = " ".join(value[:_MAX_VALUES]) + (" …" if len(value) > _MAX_VALUES else "")
    elif parameter.unit == "cents":
        shown = texts.money(value)
    else:
        shown = f"{texts.number(value)} {parameter.unit}".strip()
    days = f"{parameter.valid_from}..{parameter.valid_to}" if parameter.valid_from or parameter.valid_to else ""
    return f"{parameter.name} = {shown}{located(days)}"


def _certainty(rule: Rule, texts: Texts) -> str:
    return texts(f"certainty.{rule.certainty.value}")


def in_language(text: Mapping[str, str], texts: Texts) -> str:
    """Return a text of a rule in the reader's language; empty if there is none."""
    return text.get(texts.language, "")


RULES: Columns[Rule] = (
    Column("column.rule", lambda rule, _: rule.rule_id, lambda rule: "bold" if rule.enabled else "dim", width=21),
    Column("rules.category", lambda rule, _: rule.category, "dim", width=21),
    Column("rules.certainty", _certainty, "dim", width=11),
    Column("column.name", lambda rule, texts: in_language(rule.name, texts)),
    Column("rules.off", lambda rule, texts: "" if rule.enabled else f"({texts('rules.off')})", "dim"),
)
RULE_FACTS: Columns[Rule] = (
    Column("rules.off_because", lambda rule, texts: in_language(rule.disabled_reason, texts)),
    Column("rules.category", lambda rule, _: rule.category),
    Column("rules.certainty", _certainty),
    Column("rules.severities", lambda rule, texts: ", ".join(severity(value, texts) for value in rule.severities)),
    Column("rules.needs", lambda rule, _: ", ".join(rule.needs)),
    Column("rules.source", lambda rule, _: rule.source),
    Column("rules.version", lambda rule, _: rule.version),
)
SCENARIO_TITLES: Columns[tuple[str, Mapping[str, str]]] = (
    Column("rules.scenario", lambda row, texts: f"{row[0]} · {in_language(row[1], texts)}"),
)
RULE_PARAMETERS: Columns[RuleParameter] = (Column("rules.parameter", _parameter),)


def _tariff(tariff: Tariff, texts: Texts) -> str:
    amount = "" if tariff.amount_cents is None else texts.money(tariff.amount_cents)
    return " ".join(filter(None, [tariff.place, amount, tariff.base_units and f"({tariff.base_units})"]))


CODES: Columns[BillingCode] = (
    Column("column.code", lambda code, _: code.code, width=5),
    Column("column.tab", lambda code, _: code.tab, width=3),
    Column("column.tariffs", lambda code, texts: " · ".join(_tariff(tariff, texts) for tariff in code.tariffs)),
    Column("column.section", lambda code, _: code.section),
)
ESTABLISHMENTS: Columns[Establishment] = (
    Column("column.number", lambda place, _: place.number, width=5),
    Column("column.gmf", lambda place, _: "GMF" if place.gmf else "", width=3),
    Column("column.kind", lambda place, _: place.type, width=11),
    Column("column.name", lambda place, _: place.name),
)
VERSION_FACTS: Columns[ReferenceVersion] = (
    Column("reference.source", lambda version, _: version.source),
    Column("fact.created", lambda version, texts: texts.moment(version.create_time)),
    Column("reference.codes", lambda version, texts: texts.number(version.code_count)),
    Column("reference.establishments", lambda version, texts: texts.number(version.establishment_count)),
    Column("reference.contexts", lambda version, texts: texts.number(version.context_count)),
)


def _ago(time: datetime, now: datetime, texts: Texts) -> str:
    return texts.duration(max(0.0, (now - time).total_seconds()))


QUEUES: Columns[tuple[str, JobCounts]] = (
    Column("top.queue", lambda row, _: row[0]),
    Column("top.column.waiting", lambda row, texts: texts.number(row[1].waiting), justify="right"),
    Column("top.column.delayed", lambda row, texts: texts.number(row[1].delayed), justify="right"),
    Column("top.column.active", lambda row, texts: texts.number(row[1].active), justify="right"),
    Column("top.column.failed", lambda row, texts: texts.number(row[1].failed), justify="right"),
    Column(
        "top.column.oldest",
        lambda row, texts: "-" if row[1].oldest_wait_seconds is None else texts.duration(row[1].oldest_wait_seconds),
        justify="right",
    ),
)


def workers(now: datetime) -> Columns[Worker]:
    """Return the columns of workers as they were at `now`."""
    return (
        Column("top.workers", lambda worker, _: worker.worker_id[:_WORKER_ID]),
        Column("top.column.release", lambda worker, _: worker.release),
        Column("top.column.threads", lambda worker, texts: texts.number(worker.threads)),
        Column("top.column.since", lambda worker, texts: texts.moment(worker.start_time)),
        Column("top.column.seen", lambda worker, texts: _ago(worker.seen_time, now, texts)),
        Column("top.column.at", lambda worker, _: " ".join(worker.validation_ids) or "-", wrap=True),
    )


def _bar(job: ActiveJob, _texts: Texts) -> Table:
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=100, completed=job.percent, width=_BAR_WIDTH), f"{job.percent:3.0f} %")
    return bar


def active_jobs(now: datetime) -> Columns[ActiveJob]:
    """Return the columns of runs in progress as they were at `now`."""
    return (
        Column("top.active", lambda job, _: job.validation_id),
        Column("top.column.owner", lambda job, _: job.owner),
        Column("top.column.file", lambda job, _: job.file_name),
        Column(
            "top.column.phase",
            lambda job, texts: "" if job.phase is Phase.UNSPECIFIED else texts(f"phase.{job.phase.value}"),
        ),
        Column("top.column.progress", _bar, wrap=True),
        Column("top.column.rows", lambda job, texts: texts.number(job.rows_parsed)),
        Column("top.column.time", lambda job, texts: _ago(job.start_time, now, texts)),
        Column("top.column.worker", lambda job, _: job.worker_id[:_WORKER_ID] or "-"),
    )
