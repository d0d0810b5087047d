"""Bars on standard error while something goes on; nothing at all if nobody is looking."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from facnet_cli.output import console, printable
from facnet_cli.render import SEVERITY_STYLES
from facnet_cli.texts import Texts
from facnet_client.errors import FacnetError
from facnet_client.values import Phase, Result, Status, Update


class _Bars(Progress):
    """Bars, and the first findings below them."""

    below: tuple[Text, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is on the screen, from top to bottom."""
        yield from super().get_renderables()
        yield from self.below


class Bars:
    """A bar for the upload and one for the run, in a `with` statement."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._upload: TaskID | None = None
        self._run: TaskID | None = None
        self._start: TaskID | None = None
        self._is_broken = False
        self._progress = _Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def starting(self) -> None:
        """Show that a server is being started."""
        self._start = self._add(self._texts("bar.starting"), None)

    def say(self, text: str) -> None:
        """Print a line above the bars, also if nobody looks at them."""
        self._progress.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def upload(self, sent: int, size: int | None) -> None:
        """Show how much of a file has been sent; fit to be given to `FacnetClient.submit`."""
        self._hide_start()
        if self._upload is None:
            self._upload = self._add(self._texts("bar.upload"), size)
        self._progress.update(self._upload, completed=sent, total=size, note=self._texts.size(sent))

    @property
    def has_sent(self) -> bool:
        """Whether anything of a file has been sent."""
        return self._upload is not None

    def broken(self, error: FacnetError | None) -> None:
        """Show that the connection is being made again, or with None that it is there again."""
        if (error is not None) is self._is_broken:
            return
        self._is_broken = error is not None
        bar = self._upload if self._run is None else self._run
        if bar is not None:  # a run says by itself what it is doing
            self._progress.update(bar, description=self._texts("bar.broken" if error else "bar.upload"))

    def run(self, update: Update) -> None:
        """Show how far a run is."""
        if self._run is None:
            self._run = self._add("", 100)
        self._progress.update(
            self._run,
            completed=update.percent,
            description=self._doing(update),
            note=self._note(update),
        )
        self._progress.below = tuple(self._finding(found) for found in update.preview)

    def rows(self, done: int, total: int, size: int) -> None:
        """Show how much of a file has been fetched; fit to be given to `FacnetClient.export`."""
        if self._run is None:
            self._run = self._add(self._texts("bar.export"), total)
        self._progress.update(self._run, completed=done, total=max(total, 1), note=self._texts.size(size))

    def _finding(self, found: Result) -> Text:
        where = (
            self._texts("result.line", number=self._texts.number(found.record_number)) if found.record_number else ""
        )
        word = f"  {self._texts(f'severity.{found.severity.value}'):<12}"
        return Text.assemble(
            (word, SEVERITY_STYLES[found.severity]),
            f" {printable(found.message)}  ",
            (where, "dim"),
            overflow="ellipsis",
            no_wrap=True,
        )

    def _doing(self, update: Update) -> str:
        if update.status is Status.PROCESSING and update.phase is not Phase.UNSPECIFIED:
            return self._texts(f"phase.{update.phase.value}")
        return self._texts(f"status.{update.status.value}")

    def _note(self, update: Update) -> str:
        notes = []
        if update.batch is not None:
            over, number = update.batch.over, self._texts.number
            notes.append(self._texts("batch.files", over=number(over), all=number(update.batch.runs)))
        if update.queue_position:
            notes.append(self._texts.count("bar.ahead", update.queue_position))
        if update.rows_parsed:
            notes.append(self._texts.count("bar.rows", update.rows_parsed))
        if update.eta_seconds:
            notes.append(self._texts("bar.eta", time=self._texts.duration(update.eta_seconds)))
        return " · ".join(notes)

    def _add(self, description: str, total: float | None) -> TaskID:
        return self._progress.add_task(description, total=total, note="")

    def _hide_start(self) -> None:
        if self._start is not None:
            self._progress.update(self._start, visible=False)
            self._start = None
