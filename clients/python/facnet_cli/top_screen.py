"""What `facnet top` shows: one moment of the service, from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from facnet_cli.output import printable
from facnet_cli.texts import Texts
from facnet_client.operations import ActiveJob, JobCounts, JobTimes, QueueStats
from facnet_client.values import Phase

BAR_WIDTH = 20
MOST_OWNERS = 10
MOST_ACTIVE = 20
SHOWN = 8  # characters of a worker's id, which are enough to tell them apart
_RIGHT = ("waiting", "delayed", "active", "failed", "oldest")


@dataclass(frozen=True, slots=True)
class Screen:
    """Draws in one language."""

    texts: Texts

    def render(self, stats: QueueStats, note: str = "") -> RenderableType:
        """Return a moment; `note` says why it is not the present one."""
        return Group(*self._parts(stats, note))

    def _parts(self, stats: QueueStats, note: str) -> Iterator[RenderableType]:
        yield Text.assemble(("facnet top", "bold"), f"  {stats.time.astimezone():%Y-%m-%d %H:%M:%S}")
        if note:
            yield Text(printable(note), style="yellow")
        yield self._throughput(self.texts("top.recent", minutes=round(stats.recent_seconds / 60)), stats.recent)
        yield self._throughput(self.texts("top.day"), stats.day)
        yield self._queue(stats)
        yield self._workers(stats) if stats.workers else Text(self.texts("top.no_worker"), style="red")
        if stats.active_jobs:
            yield self._active(stats.active_jobs, stats.time)

    def _throughput(self, period: str, times: JobTimes) -> Text:
        texts = self.texts
        parts = [
            texts.count("top.completed", times.completed),
            texts.count("top.failed", times.failed),
            texts.count("bar.rows", times.rows),
            texts.size(times.bytes),
        ]
        for key, seconds in (("top.wait", times.mean_wait_seconds), ("top.work", times.mean_work_seconds)):
            if seconds is not None:
                parts.append(texts(key, time=texts.duration(seconds)))
        return Text.assemble((f"{period} ", "dim"), " · ".join(parts))

    def _queue(self, stats: QueueStats) -> Table:
        table = self._table("top.queue")
        for key in _RIGHT:
            table.add_column(self.texts(f"top.column.{key}"), justify="right")
        for kind, counts in stats.queues.items():
            table.add_row(self.texts(f"top.kind.{kind.value}"), *self._counts(counts))
        for priority, counts in stats.priorities.items():
            table.add_row(f"  {self.texts(f'top.priority.{priority.value.lower()}')}", *self._counts(counts))
        table.add_section()
        for owner, counts in list(stats.owners.items())[:MOST_OWNERS]:
            table.add_row(printable(owner), *self._counts(counts))
        return table

    def _counts(self, counts: JobCounts) -> Sequence[str]:
        numbers = (counts.waiting, counts.delayed, counts.active, counts.failed)
        oldest = counts.oldest_wait_seconds
        return [*map(self.texts.number, numbers), "-" if oldest is None else self.texts.duration(oldest)]

    def _workers(self, stats: QueueStats) -> Table:
        table = self._table("top.workers")
        for key in ("release", "threads", "since", "seen", "at"):
            table.add_column(self.texts(f"top.column.{key}"))
        for worker in stats.workers:
            table.add_row(
                worker.worker_id[:SHOWN],
                printable(worker.release),
                self.texts.number(worker.threads),
                self.texts.moment(worker.start_time),
                self._ago(worker.seen_time, stats.time),
                " ".join(worker.validation_ids) or "-",
            )
        return table

    def _active(self, jobs: Sequence[ActiveJob], now: datetime) -> Table:
        table = self._table("top.active")
        for key in ("owner", "file", "phase", "progress", "rows", "time", "worker"):
            table.add_column(self.texts(f"top.column.{key}"), no_wrap=key != "progress")
        for job in jobs[:MOST_ACTIVE]:
            phase = "" if job.phase is Phase.UNSPECIFIED else self.texts(f"phase.{job.phase.value}")
            table.add_row(
                job.validation_id,
                printable(job.owner),
                printable(job.file_name),
                phase,
                self._bar(job.percent),
                self.texts.number(job.rows_parsed),
                self._ago(job.start_time, now),
                job.worker_id[:SHOWN] or "-",
            )
        return table

    def _bar(self, percent: float) -> Table:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(total=100, completed=percent, width=BAR_WIDTH), f"{percent:3.0f} %")
        return bar

    def _ago(self, then: datetime, now: datetime) -> str:
        return self.texts.duration(max(0.0, (now - then).total_seconds()))

    def _table(self, key: str) -> Table:
        table = Table(box=box.SIMPLE, pad_edge=False)
        table.add_column(self.texts(key), no_wrap=True)
        return table
