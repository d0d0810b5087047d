"""Runs, summaries and findings as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from facnet_cli.output import printable
from facnet_cli.texts import Texts
from facnet_client.values import (
    NotEvaluable,
    RejectedRow,
    RejectionCount,
    Result,
    ScenarioSummary,
    Severity,
    Status,
    Summary,
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


@dataclass(frozen=True, slots=True)
class Renderer:
    """Prints on one console in one language."""

    out: Console
    texts: Texts

    def validation(self, run: Validation) -> None:
        """Print what is known of a run, a line a fact."""
        self.out.print(Text.assemble((printable(run.file_name), "bold"), "  ", self._status(run.status)))
        for key, value in self._facts(run):
            self.out.print(f"  {self.texts(key)}: {printable(value)}")

    def run_line(self, run: Validation) -> None:
        """Print a run as one line of a list."""
        counts = run.result_counts
        found = f"{counts.error}/{counts.warning}/{counts.optimization}/{counts.info}"
        rows = self.texts.number(run.total_rows)
        self.out.print(
            Text.assemble(
                f"{run.validation_id}  {self.texts.moment(run.create_time)}  ",
                self._status(run.status, 10),
                f"  {rows:>11}  {found:<15}  {printable(run.file_name)}",
                (self._expected(run), "dim"),
            ),
        )

    def summary(self, summary: Summary, reasons: Mapping[tuple[str, str], str]) -> None:
        """Print the figures of a run: rules, money, rejected lines, rules that could not be evaluated.

        `reasons` has the text of rejections by reason and column, as far as they are known.
        """
        self._headline(summary.validation)
        if summary.scenarios:
            self.out.print(self._scenarios(summary.scenarios))
        else:
            self.out.print(self.texts("summary.nothing_found"))
        self._money(summary)
        self._rejections(summary.rejections, reasons)
        for defect in summary.defects:
            self.out.print(self.texts.count("summary.defect", defect.count, column=defect.column))
        self._not_evaluable(summary.not_evaluable)
        if summary.reversal_rows:
            self.out.print(self.texts.count("summary.reversals", summary.reversal_rows))

    def dearest(self, results: Sequence[Result]) -> None:
        """Print the findings that most money hangs on."""
        if not results:
            return
        self.out.print()
        self.out.print(Text(self.texts("summary.dearest"), "bold"))
        for result in results:
            self.result(result)

    def result(self, result: Result) -> None:
        """Print a finding: what, where, how much; the message; what to do."""
        where = [result.service_date, result.doctor]
        if result.record_number is not None:
            where.append(self.texts("result.line", number=self.texts.number(result.record_number)))
        word = f"{self.texts(f'severity.{result.severity.value}'):<12}"
        self.out.print(
            Text.assemble(
                (word, SEVERITY_STYLES[result.severity]),
                f" {self._amounts(result):>14}  {result.rule_id}.{result.scenario}  ",
                ("  ".join(filter(None, where)), "dim"),
            ),
        )
        for text in filter(None, [result.message, result.solution]):
            self.out.print(f"    {printable(text)}")

    def rejected(self, row: RejectedRow) -> None:
        """Print a rejected line: its number, the reason code and the text."""
        where = f" ({row.column})" if row.column else ""
        self.out.print(f"{self.texts.number(row.record_number):>11}  {row.reason}{where}: {printable(row.message)}")

    def _status(self, status: Status, width: int = 0) -> Text:
        return Text(f"{self.texts(f'status.{status.value}'):<{width}}", STATUS_STYLES.get(status, ""))

    def _facts(self, run: Validation) -> Iterable[tuple[str, str]]:
        number = self.texts.number
        facts = [
            ("fact.id", run.validation_id),
            ("fact.created", self.texts.moment(run.create_time)),
            ("fact.ended", self.texts.moment(run.end_time)),
            ("fact.expected", self._expected(run).strip()),
            ("fact.size", self.texts.size(run.size_bytes)),
            ("fact.rows", number(run.total_rows)),
            ("fact.rejected", number(run.rejected_rows)),
            ("fact.encoding", run.encoding),
            ("fact.attempt", number(run.attempt)),
            ("fact.batch", run.batch_id),
            ("fact.labels", ", ".join(f"{key}={value}" for key, value in run.labels.items())),
            ("fact.rules", ", ".join(run.rule_ids)),
            ("fact.versions", " / ".join(filter(None, [run.rule_set_version, run.reference_version]))),
        ]
        return ((key, value) for key, value in facts if value)

    def _expected(self, run: Validation) -> str:
        """Return how many are begun before a run that waits, and how long it takes to its end, as far as is known."""
        parts = []
        if run.queue_position is not None:
            next_one = run.queue_position == 0
            parts.append(self.texts("queue.next") if next_one else self.texts.count("bar.ahead", run.queue_position))
        if run.eta_seconds is not None:
            parts.append(self.texts("bar.eta", time=self.texts.duration(run.eta_seconds)))
        return f"  {' · '.join(parts)}" if parts else ""

    def _headline(self, run: Validation) -> None:
        parts = [self.texts.count("summary.rows", run.total_rows)]
        if run.rejected_rows:
            parts.append(self.texts.count("summary.rejected", run.rejected_rows))
        if run.start_time and run.end_time:
            seconds = (run.end_time - run.start_time).total_seconds()
            parts.append(self.texts("summary.took", time=self.texts.duration(seconds)))
        self.out.print(Text.assemble((printable(run.file_name), "bold"), "  ", " · ".join(parts)))

    def _scenarios(self, scenarios: Iterable[ScenarioSummary]) -> Table:
        texts = self.texts
        table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
        table.add_column(texts("column.rule"))
        table.add_column(texts("column.severity"))
        for key in ("column.count", "column.at_risk", "column.gain"):
            table.add_column(texts(key), justify="right", no_wrap=True)
        for one in scenarios:
            # A check of one scenario has one name; saying it twice helps nobody.
            name = " · ".join(dict.fromkeys(filter(None, [one.rule_name or one.rule_id, one.title or one.scenario])))
            severity = Text(texts(f"severity.{one.severity.value}"), SEVERITY_STYLES[one.severity])
            money = (self._amount(one.at_risk_cents), self._amount(one.potential_gain_cents))
            table.add_row(printable(name), severity, texts.number(one.count), *money)
        return table

    def _money(self, summary: Summary) -> None:
        at_risk, gain = self.texts.money(summary.at_risk_cents), self.texts.money(summary.potential_gain_cents)
        self.out.print(Text.assemble(self.texts("summary.at_risk"), " ", (at_risk, "bold red")))
        self.out.print(Text.assemble(self.texts("summary.gain"), " ", (gain, "bold green")))

    def _rejections(self, rejections: Iterable[RejectionCount], reasons: Mapping[tuple[str, str], str]) -> None:
        for one in rejections:
            where = f" ({one.column})" if one.column else ""
            text = reasons.get((one.reason, one.column)) or f"{one.reason}{where}"
            self.out.print(self.texts.count("summary.rejection", one.count, reason=printable(text)))

    def _not_evaluable(self, rules: Iterable[NotEvaluable]) -> None:
        for rule in rules:
            columns = ", ".join(rule.missing_columns)
            self.out.print(self.texts("summary.not_evaluable", rule=rule.rule_id, columns=columns))

    def _amounts(self, result: Result) -> str:
        if result.at_risk_cents:
            return f"-{self.texts.money(result.at_risk_cents)}"
        return f"+{self.texts.money(result.potential_gain_cents)}" if result.potential_gain_cents else ""

    def _amount(self, cents: int) -> str:
        return self.texts.money(cents) if cents else ""
