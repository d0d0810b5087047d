"""What the command line uses of the machine: processes, packages, the terminal. Tests pass their own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import NoReturn, TextIO

from rich.console import Console

from facnet_cli.output import console

try:
    import termios
    import tty
except ImportError:  # Windows: there `facnet top` ends with Ctrl-C only
    HAS_TERMIOS = False
else:
    HAS_TERMIOS = True


#: Returns the next key, or an empty string if none is pressed within so many seconds.
ReadKey = Callable[[float], str]


@contextmanager
def keyboard(stdin: TextIO | None = None) -> Iterator[ReadKey]:
    """Read single keys of a terminal without Enter, and restore its mode afterwards. Without a terminal, only wait."""
    stream = stdin or sys.stdin
    if not (HAS_TERMIOS and stream.isatty()):
        yield _wait
        return
    terminal = stream.fileno()
    mode = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield partial(_read_key, terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, mode)


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _read_key(terminal: int, seconds: float) -> str:
    ready, _, _ = select.select([terminal], [], [], seconds)
    return os.read(terminal, 1).decode(errors="replace") if ready else ""


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
    keyboard: Callable[[], AbstractContextManager[ReadKey]] = keyboard
    sleep: Callable[[float], None] = time.sleep
    # The service as a child process: announces its address as JSON, stops when its standard input is closed.
    stack_command: Sequence[str] = (
        *(sys.executable, "-m", "facnet_grpc", "dev"),
        *("--ephemeral", "--announce", "json", "--until-stdin-closes"),
    )
