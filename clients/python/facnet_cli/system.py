"""What the command line uses of the machine: processes, packages, the terminal. Tests pass their own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TextIO

from facnet_cli.output import console

if TYPE_CHECKING:
    from rich.console import Console

try:
    import termios
    import tty
except ImportError:  # Windows: there `facnet top` ends with Ctrl-C only
    HAS_TERMIOS = False
else:
    HAS_TERMIOS = True


class Keys(Protocol):
    """Single keys, read without Enter."""

    def pressed(self, seconds: float) -> str:
        """Return the next key, or an empty string if none is pressed within `seconds`."""


class Keyboard:
    """Reads keys of a terminal in a `with` statement, and restores the terminal's mode. Without a terminal, waits."""

    def __init__(self, stdin: TextIO | None = None) -> None:
        """Read from `stdin`, standard input by default."""
        stream = stdin or sys.stdin
        self._terminal = stream.fileno() if HAS_TERMIOS and stream.isatty() else None
        self._mode: list[Any] = []

    def __enter__(self) -> Self:
        if self._terminal is not None:
            self._mode = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._terminal is not None:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._mode)

    def pressed(self, seconds: float) -> str:
        """See `Keys`."""
        if self._terminal is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        return os.read(self._terminal, 1).decode(errors="replace") if ready else ""


def replace_process(command: list[str]) -> NoReturn:
    """Run `command` instead of this process. Windows cannot replace a process: there this one waits for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        sys.exit(subprocess.call(command))  # noqa: S603 - this very interpreter
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


@dataclass(frozen=True, slots=True)
class System:
    """Everything of the machine that commands use, with the real thing as default."""

    replace_process: Callable[[list[str]], NoReturn] = replace_process
    is_installed: Callable[[str], bool] = lambda module: find_spec(module) is not None
    is_terminal: Callable[[TextIO], bool] = lambda stream: stream.isatty()
    console: Callable[[TextIO], Console] = console
    keyboard: Callable[[], AbstractContextManager[Keys]] = Keyboard
    sleep: Callable[[float], None] = time.sleep
    # The service as a child process: announces its address as JSON, stops when its standard input is closed.
    stack_command: Sequence[str] = (
        *(sys.executable, "-m", "facnet_grpc", "dev"),
        *("--ephemeral", "--announce", "json", "--until-stdin-closes"),
    )
