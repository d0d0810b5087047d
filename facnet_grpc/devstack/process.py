"""Runs a program of the product as a child process, in a process group of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.05


class Child:
    """A running program, its output in a file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it. Ctrl-C in a terminal does not reach it; the death of this process does."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter, fixed arguments
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=signal_on_parent_death(signal.SIGTERM),  # noqa: PLW1509 - one system call, no lock is taken
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0.0)

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.poll()

    def stop(self, seconds: float, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Ask it to end, and end it and all that it started after `seconds`, or as soon as `is_urgent`."""
        deadline = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        while self._process.poll() is None and time.monotonic() < deadline and not is_urgent():
            time.sleep(POLL_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def log_tail(self, lines: int = 10) -> str:
        """Return the end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def signal_on_parent_death(number: signal.Signals) -> Callable[[], object] | None:
    """Return a `preexec_fn` that has the kernel send `number` to the child when the thread that starts it ends.

    None where the kernel cannot (macOS): there a child outlives a parent that is killed.
    """
    if sys.platform != "linux":
        return None
    return partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, int(number))
