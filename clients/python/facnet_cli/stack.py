"""An embedded stack: the service as a child process, which ends with this program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from types import FrameType
from typing import IO

from facnet_cli.errors import ExitCode, Problem
from facnet_cli.local import require
from facnet_cli.system import System

_STOP_SECONDS = 30
_KILL_SECONDS = 5
_SIGNAL_INTERVAL = 1.0
_ERROR_BYTES = 4000
# Windows has neither SIGHUP nor timers that send signals.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name)]


@contextmanager
def embedded_stack(system: System, language: str, on_note: Callable[[str], None]) -> Iterator[str]:
    """Start a stack on a free port and yield its target; it is stopped however the context ends.

    `on_note` is called with notes for the user, in `language`. Raises `Problem` if the stack does not start.
    """
    require(system, "server", "embedded")
    with tempfile.TemporaryFile() as stderr, _signals_as_exceptions():
        child = subprocess.Popen(  # noqa: S603 - this very interpreter, fixed arguments
            [*system.stack_command, "--lang", language],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C reaches this process only, which stops the child in order
        )
        try:
            yield _target(child, stderr, on_note)
        finally:
            _stop_repeating()
            _stop(child)


def _target(child: subprocess.Popen[bytes], stderr: IO[bytes], on_note: Callable[[str], None]) -> str:
    stdout = child.stdout
    if stdout is None:
        raise TypeError("the child has a pipe")
    try:
        announcement = json.loads(stdout.readline())
        target = str(announcement["target"])
    except (ValueError, KeyError, TypeError):
        raise Problem("stack", ExitCode.CONFIGURATION, output=_tail(stderr)) from None
    for note in announcement.get("notes", ()):
        on_note(str(note))
    # Read the rest, or a full pipe would block the child.
    Thread(target=stdout.read, daemon=True).start()
    return target


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ERROR_BYTES))
    return file.read().decode("utf-8", "replace").strip()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Close the child's standard input, which stops it; terminate and kill it if that takes too long.

    A second Ctrl-C terminates it at once.
    """
    try:
        if child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()
        child.wait(_STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.terminate()
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(_KILL_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL) if hasattr(os, "killpg") else child.kill()
        child.wait()


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Make SIGTERM and SIGHUP run every `finally`, as Ctrl-C does, and repeat all three until one has.

    An exception that a signal handler raises can be lost in a callback, or stop at a lock that is held by the code
    that it interrupted. So a timer sends the signal again every second until `_stop_repeating` is called.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        _repeat_after(_SIGNAL_INTERVAL)
        if received[0] == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + received[0])

    # Background jobs of a shell ignore SIGINT, which is left so.
    interrupt = [] if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else [signal.SIGINT]
    before = {number: signal.signal(number, handle) for number in (*_SIGNALS, *interrupt)}
    try:
        yield
    finally:
        _stop_repeating()
        for number, handler in before.items():
            signal.signal(number, handler)


def _repeat_after(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _stop_repeating() -> None:
    _repeat_after(0)
