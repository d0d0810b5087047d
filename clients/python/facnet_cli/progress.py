"""Progress bars on standard error; nothing at all if it is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from facnet_cli.columns import PREVIEW, status
from facnet_cli.system import System
from facnet_cli.tables import line
from facnet_cli.texts import Texts, printable
from facnet_client.errors import FacnetError
from facnet_client.values import Phase, Result, Status, Update


class Bars(Progress):
    """A bar for the upload and one for the run, with the first findings of the run below, in a `with` statement."""

    _findings: tuple[Text, ...] = ()

    def __init__(self, texts: Texts, system: System) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=system.console(sys.stderr),
            disable=not system.is_terminal(sys.stderr),
            transient=True,
        )
        self._texts = texts
        self._start: TaskID | None = None
        self._upload: TaskID | None = None
        self._run: TaskID | None = None
        self._is_broken = False

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is on the screen, from top to bottom."""
        yield from super().get_renderables()
        yield from self._findings

    def starting(self) -> None:
        """Show that a server is being started."""
        self._start = self._add(self._texts("bar.starting"), None)

    def say(self, text: str) -> None:
        """Print a line above the bars, also if there are none."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def upload(self, sent: int, size: int | None) -> None:
        """Show how many bytes of a file have been sent: `on_progress` of `FacnetClient.submit`."""
        self._hide_start()
        if self._upload is None:
            self._upload = self._add(self._texts("bar.upload"), size)
        self.update(self._upload, completed=sent, total=size, note=self._texts.size(sent))

    @property
    def has_sent(self) -> bool:
        """Whether a part of a file has been sent."""
        return self._upload is not None

    def broken(self, error: FacnetError | None) -> None:
        """Show that the connection is being restored, or with None that it is: `on_break` of the client."""
        if (error is not None) is self._is_broken:
            return
        self._is_broken = error is not None
        bar = self._upload if self._run is None else self._run
        if bar is not None:  # the next update of a run replaces this
            self.update(bar, description=self._texts("bar.broken" if error else "bar.upload"))

    def run(self, update: Update) -> None:
        """Show the progress of a run, with its first findings below the bar."""
        if self._run is None:
            self._run = self._add("", 100)
        self.update(
            self._run,
            completed=update.percent,
            description=_activity(update, self._texts),
            note=_note(update, self._texts),
        )
        self._findings = tuple(self._finding(result) for result in update.preview)

    def rows(self, done: int, total: int, size: int) -> None:
        """Show how many rows have been fetched: `on_rows` of `FacnetClient.export`."""
        if self._run is None:
            self._run = self._add(self._texts("bar.export"), total)
        self.update(self._run, completed=done, total=max(total, 1), note=self._texts.size(size))

    def _finding(self, result: Result) -> Text:
        text = Text("  ") + line(PREVIEW, result, self._texts)
        text.overflow, text.no_wrap = "ellipsis", True
        return text

    def _add(self, description: str, total: float | None) -> TaskID:
        return self.add_task(description, total=total, note="")

    def _hide_start(self) -> None:
        if self._start is not None:
            self.update(self._start, visible=False)
            self._start = None


def _activity(update: Update, texts: Texts) -> str:
    if update.status is Status.PROCESSING and update.phase is not Phase.UNSPECIFIED:
        return texts(f"phase.{update.phase.value}")
    return status(update.status, texts)


def _note(update: Update, texts: Texts) -> str:
    notes = []
    if update.batch is not None:
        notes.append(texts.count("batch.files", update.batch.over, all=texts.number(update.batch.runs)))
    if update.queue_position:
        notes.append(texts.count("bar.ahead", update.queue_position))
    if update.rows_parsed:
        notes.append(texts.count("bar.rows", update.rows_parsed))
    if update.eta_seconds:
        notes.append(texts("bar.eta", time=texts.duration(update.eta_seconds)))
    return " · ".join(notes)
