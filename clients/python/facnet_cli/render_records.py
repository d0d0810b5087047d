"""Lines, logs and batches as people read them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from facnet_cli.output import printable
from facnet_cli.render import SEVERITY_STYLES, STATUS_STYLES, Renderer
from facnet_cli.texts import Texts
from facnet_client.values import Batch, LogEntry, LogLevel, Record, Severity

_DUPLICATES = 10  # shown; a program gets more of them
_LEVEL_STYLES = {LogLevel.WARNING: "yellow", LogLevel.ERROR: "red", LogLevel.DEBUG: "dim"}


@dataclass(frozen=True, slots=True)
class RecordRenderer:
    """Prints on one console in one language."""

    out: Console
    texts: Texts

    def record(self, record: Record) -> None:
        """Print a line of a claim file: number, day and time, place, code, amounts, doctor, context."""
        paid = "" if record.paid_cents is None else self.texts.money(record.paid_cents)
        units = "" if record.units is None else f"x{record.units}"
        times = "-".join(filter(None, [record.start_time[:5], record.end_time[:5]]))
        line = (
            f"{self.texts.number(record.record_number):>11}  {record.service_date} {times:<11}  {record.place:<5}"
            f"  {record.code} {units:<4} {self.texts.money(record.preliminary_cents):>12} {paid:>12}"
        )
        self.out.print(printable("  ".join(filter(None, [line, record.doctor, " ".join(record.context)]))))

    def log_entry(self, entry: LogEntry) -> None:
        """Print what happened: when, how severe, where, what, and its facts."""
        when = entry.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        facts = "  ".join(f"{name}={_fact(value)}" for name, value in entry.data.items())
        self.out.print(
            Text.assemble(
                f"{when}  ",
                (f"{entry.level.value:<8}", _LEVEL_STYLES.get(entry.level, "")),
                f"{printable(entry.source):<8} {printable(entry.event)}  ",
                (printable(facts), "dim"),
            ),
        )

    def batch(self, batch: Batch) -> None:
        """Print a batch: its runs, its figures, and lines that are in several of its files."""
        counts, texts = batch.counts, self.texts
        status = (texts(f"status.{batch.status.value}"), STATUS_STYLES.get(batch.status, ""))
        files = texts("batch.files", over=texts.number(counts.over), all=texts.number(counts.runs))
        self.out.print(Text.assemble((printable(counts.batch_id), "bold"), "  ", status, f"  {files}"))
        parts = [texts.count("summary.rows", batch.total_rows)]
        if batch.rejected_rows:
            parts.append(texts.count("summary.rejected", batch.rejected_rows))
        self.out.print(f"  {' · '.join(parts)}")
        at_risk, gain = texts.money(batch.at_risk_cents), texts.money(batch.potential_gain_cents)
        self.out.print(Text.assemble("  ", texts("summary.at_risk"), " ", (at_risk, "bold red")))
        self.out.print(Text.assemble("  ", texts("summary.gain"), " ", (gain, "bold green")))
        runs = Renderer(self.out, texts)
        for run in batch.validations:
            runs.run_line(run)
        self._duplicates(batch)

    def _duplicates(self, batch: Batch) -> None:
        if not batch.duplicate_count:
            return
        told = self.texts.count("batch.duplicates", batch.duplicate_count)
        self.out.print(Text(told, SEVERITY_STYLES[Severity.WARNING]))
        for duplicate in batch.duplicates[:_DUPLICATES]:
            self.out.print(f"  {printable(duplicate.message)}")
        if batch.duplicate_count > _DUPLICATES:
            more = self.texts.count("batch.more", batch.duplicate_count - _DUPLICATES)
            self.out.print(f"  {more}")
        for solution in dict.fromkeys(duplicate.solution for duplicate in batch.duplicates):
            self.out.print(printable(solution))


def _fact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
