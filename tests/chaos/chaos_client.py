"""Somebody who submits a file and follows its run to the end, in a thread, while things break around."""

from __future__ import annotations

import io
from pathlib import Path
from threading import Thread
from uuid import uuid4

from chaos_stack import PATIENCE, Broken, ChaosStack

from facnet_client import FacnetClient
from facnet_client.values import Update
from facnet_grpc.sample.writer import write_sample

SMALL, LARGE = "small", "large"  # one batch and one chunk; several of both
UNREADABLE = "unreadable"  # no claims at all: its runs fail, each time that they are tried
FILE_NAME = "claims.csv"


def contents() -> dict[str, bytes]:
    """Make the files to submit: all but one have lines to accept, lines to reject, and something to find."""
    files = {UNREADABLE: b"year;month\n2026;11\n"}
    for name, rows, bad in ((SMALL, 400, 0.05), (LARGE, 12_000, 0.01)):
        file = io.BytesIO()
        write_sample(rows, file, seed=rows, bad_share=bad)
        files[name] = file.getvalue()
    return files


class Submission(Thread):
    """Submits and watches. `run_id` is set once the server has accepted the file, `error` if anything went wrong."""

    def __init__(self, stack: ChaosStack, content: bytes, *, webhook_url: str = "") -> None:
        super().__init__(name="submission", daemon=True)
        self.key = str(uuid4())
        self.run_id: str | None = None
        self.updates: list[Update] = []
        self.error: Exception | None = None
        self.content = content
        self._stack = stack
        self._webhook_url = webhook_url
        self.start()

    def run(self) -> None:
        """Submit, then watch to the end."""
        try:
            with self._stack.client() as client:
                self.run_id = self.send(client)
                self.updates.extend(client.watch(self.run_id))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            self.error = error

    def send(self, client: FacnetClient) -> str:
        """Submit, in one stream, and return the id of the run."""
        submitted = client.submit(
            io.BytesIO(self.content), file_name=FILE_NAME, idempotency_key=self.key, webhook_url=self._webhook_url
        )
        return submitted.validation_id

    def finished(self, seconds: float = PATIENCE) -> str:
        """Wait for the end, and return the id of the run."""
        self.join(seconds)
        if self.is_alive():
            raise Broken(f"no end within {seconds:g} s of run {self.run_id}: {self.updates[-1:]}")
        if self.error is not None:
            raise self.error
        assert self.run_id is not None
        return self.run_id


def again(stack: ChaosStack, submission: Submission) -> list[Update]:
    """Watch an ended run once more, from where the watcher had come."""
    with stack.client() as client:
        return list(client.watch(submission.run_id or ""))


def logs_of(directory: Path) -> str:
    """Return the last lines of every program's log, for whoever looks at a failed test."""
    texts = (f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-30:]) for path in directory.glob("*.log"))
    return "\n".join(texts)
