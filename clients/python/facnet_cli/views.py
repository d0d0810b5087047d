"""What commands print for people about one thing: a run, its summary, findings, a batch, a revalidation, a rule.

Every view yields parts; each part stands on lines of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from facnet_cli.columns import (
    RESULTS,
    RULE_FACTS,
    RULE_PARAMETERS,
    RUN_FACTS,
    RUNS,
    SCENARIO_TITLES,
    SCENARIOS,
    SEVERITY_STYLES,
    STATUS_STYLES,
    in_language,
    located,
    status,
)
from facnet_cli.tables import facts, line, table
from facnet_cli.texts import Texts, printable
from facnet_client.rules import Rule
from facnet_client.values import (
    Batch,
    ChangeKind,
    NotEvaluable,
    Result,
    ResultChange,
    RevalidationSummary,
    Severity,
    Status,
    Summary,
    Validation,
)

_ESTABLISHMENTS = "establishments"  # a part of the reference, among the columns that a rule lacks
_MAX_DUPLICATES = 10  # of a batch; JSON has more of them
_CHANGES = {ChangeKind.ADDED: ("+", "green"), ChangeKind.GONE: ("-", "red"), ChangeKind.CHANGED: ("~", "yellow")}

Parts = Iterator[RenderableType]


def run(value: Validation, texts: Texts) -> Parts:
    """Yield what is known of a run, and its error if it failed."""
    yield _heading(value.file_name, _status(value.status, texts))
    yield from facts(RUN_FACTS, value, texts)
    if value.error is not None:
        yield f"  {value.error.message} {value.error.cure}  [{value.error.code}]"


def summary(value: Summary, reasons: Mapping[tuple[str, str], str], texts: Texts) -> Parts:
    """Yield the figures of a completed run.

    `reasons` has the texts of rejections by reason and column, as far as they are known.
    """
    yield _heading(value.validation.file_name, _run_figures(value.validation, texts))
    yield table(SCENARIOS, texts, value.scenarios) if value.scenarios else texts("summary.nothing_found")
    yield from _money(value.at_risk_cents, value.potential_gain_cents, texts)
    for rejection in value.rejections:
        reason = reasons.get((rejection.reason, rejection.column)) or rejection.reason + located(rejection.column)
        yield texts.count("summary.rejection", rejection.count, reason=reason)
    for defect in value.defects:
        yield texts.count("summary.defect", defect.count, column=defect.column)
    for rule_ in value.not_evaluable:
        yield not_evaluable(rule_, texts)
    if value.reversal_rows:
        yield texts.count("summary.reversals", value.reversal_rows)
    if value.reversed_lines:
        yield texts.count("summary.reversed", value.reversed_lines)
    if value.superseded_lines:
        yield texts.count("summary.superseded", value.superseded_lines)


def not_evaluable(value: NotEvaluable, texts: Texts) -> str:
    """Return what a rule lacks: columns of the file, or the list of establishments and the command that imports it."""
    if _ESTABLISHMENTS in value.missing_columns:
        return texts("summary.needs_establishments", rule=value.rule_id)
    return texts("summary.not_evaluable", rule=value.rule_id, columns=", ".join(value.missing_columns))


def most_expensive(results: Sequence[Result], texts: Texts) -> Parts:
    """Yield the findings with the largest amounts under a heading; nothing if there are none."""
    if results:
        yield ""
        yield Text(texts("summary.dearest"), "bold")
        for result in results:
            yield from finding(result, texts)


def finding(result: Result, texts: Texts) -> Parts:
    """Yield a finding: a line of columns, the message, and what to do about it."""
    yield line(RESULTS, result, texts)
    yield from message(result, texts)


def message(result: Result, _texts: Texts) -> Parts:
    """Yield the message of a finding and what to do about it, indented."""
    for text in filter(None, [result.message, result.solution]):
        yield f"    {text}"


def batch(value: Batch, texts: Texts) -> Parts:
    """Yield a batch: its figures, its runs, and lines that are in several of its files."""
    counts = value.counts
    files = texts.count("batch.files", counts.over, all=texts.number(counts.runs))
    yield _heading(counts.batch_id, _status(value.status, texts), f"  {files}")
    yield Text("  ") + _row_figures(value.total_rows, value.rejected_rows, texts)
    yield from _money(value.at_risk_cents, value.potential_gain_cents, texts, indent="  ")
    yield from (line(RUNS, one, texts) for one in value.validations)
    if value.duplicate_count:
        yield Text(texts.count("batch.duplicates", value.duplicate_count), SEVERITY_STYLES[Severity.WARNING])
        yield from (f"  {duplicate.message}" for duplicate in value.duplicates[:_MAX_DUPLICATES])
        if value.duplicate_count > _MAX_DUPLICATES:
            yield "  " + texts.count("batch.more", value.duplicate_count - _MAX_DUPLICATES)
        yield from dict.fromkeys(duplicate.solution for duplicate in value.duplicates)


def change(value: ResultChange, texts: Texts) -> Parts:
    """Yield a result that a revalidation adds, removes or changes, as it was and as it would be."""
    mark, style = _CHANGES.get(value.kind, ("?", ""))
    yield Text(f"{mark} {texts(f'change.{value.kind.value}')}", style)
    for result in filter(None, (value.before, value.after)):
        yield from finding(result, texts)


def revalidation(value: RevalidationSummary, texts: Texts) -> Parts:
    """Yield how many results would change, and the versions of rules and reference data then and now."""
    counts = {
        "revalidate.added": value.added,
        "revalidate.gone": value.gone,
        "revalidate.changed": value.changed,
        "revalidate.unchanged": value.unchanged,
    }
    yield ", ".join(texts.count(key, count) for key, count in counts.items())
    versions = {
        "revalidate.rules": (value.rule_set_version_before, value.rule_set_version_after),
        "revalidate.reference": (value.reference_version_before, value.reference_version_after),
    }
    for key, pair in versions.items():
        yield "  " + texts("fact.line", title=texts(key), value=" → ".join(dict.fromkeys(pair)))


def rule(value: Rule, texts: Texts) -> Parts:
    """Yield a rule with its scenarios and parameters."""
    name, description = in_language(value.name, texts), in_language(value.description, texts)
    yield _heading(value.rule_id, printable(name))
    if description != name:
        yield f"  {description}"
    yield from facts(RULE_FACTS, value, texts)
    for scenario in value.scenarios.items():
        yield from facts(SCENARIO_TITLES, scenario, texts)
    for parameter in value.parameters:
        yield from facts(RULE_PARAMETERS, parameter, texts)


def _heading(name: str, *parts: Text | str) -> Text:
    return Text.assemble((printable(name), "bold"), "  ", *parts)


def _status(value: Status, texts: Texts) -> Text:
    return Text(status(value, texts), STATUS_STYLES.get(value, ""))


def _run_figures(run: Validation, texts: Texts) -> Text:
    figures = _row_figures(run.total_rows, run.rejected_rows, texts)
    if run.start_time and run.end_time:
        seconds = (run.end_time - run.start_time).total_seconds()
        figures.append(" · " + texts("summary.took", time=texts.duration(seconds)))
    return figures


def _row_figures(total: int, rejected: int, texts: Texts) -> Text:
    rows = texts.count("summary.rows", total)
    return Text(f"{rows} · {texts.count('summary.rejected', rejected)}" if rejected else rows)


def _money(at_risk_cents: int, gain_cents: int, texts: Texts, indent: str = "") -> Iterable[Text]:
    yield Text.assemble(indent, texts("summary.at_risk"), " ", (texts.money(at_risk_cents), "bold red"))
    yield Text.assemble(indent, texts("summary.gain"), " ", (texts.money(gain_cents), "bold green"))
