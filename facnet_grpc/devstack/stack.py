"""A whole stack on this machine: PostgreSQL, Valkey, a server and a worker; stopped in reverse, nothing left behind.

`DATABASE_URL` and `REDIS_URL` are used instead of embedded servers if they are set, with databases of the stack's own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from facnet_grpc.devstack.environment import Environment, StackError, data_directory
from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.devstack.process import Child
from facnet_grpc.storage.postgres.migrate import migrate
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import sentence

READY_SECONDS = 60.0
POLL_SECONDS = 0.1
STOP_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How a stack is run. Without a data directory it is in the user's own; an ephemeral one leaves nothing."""

    data_dir: Path | None = None
    ephemeral: bool = False
    announce_json: bool = False
    until_stdin_closes: bool = False
    locale: Locale = Locale.FR


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that answers."""

    target: str
    data_dir: Path
    children: tuple[Child, ...]
    notes: tuple[tuple[str, str], ...] = ()

    def ended_child(self) -> Child | None:
        """Return a child that has ended by itself."""
        return next((child for child in self.children if child.exit_status is not None), None)


def run(options: StackOptions) -> None:
    """Run a stack until a signal, or the end of standard input, says to stop. Raises `StackError`."""
    stop = _Stop(watch_stdin=options.until_stdin_closes)
    with stack(options, stop) as running:
        _announce(running, options)
        while not stop.wait(POLL_SECONDS):
            if dead := running.ended_child():
                raise StackError(f"{dead.name} has ended with status {dead.exit_status}; its log: {dead.log}")


@contextmanager
def stack(options: StackOptions, stop: _Stop) -> Iterator[Stack]:
    """Start everything and wait until the server answers; stop everything in the end."""
    with ExitStack() as opened:
        data_dir = opened.enter_context(data_directory(options.data_dir, ephemeral=options.ephemeral))
        logs = _private(data_dir / "logs")
        environment = Environment(data_dir, opened, ephemeral=options.ephemeral)
        variables = environment.variables
        patience = float(variables["FACNET_SHUTDOWN_SECONDS"]) + STOP_MARGIN_SECONDS

        def start(name: str, command: str) -> Child:
            child = Child(name, [sys.executable, "-m", "facnet_grpc", command], variables, logs / f"{name}.log")
            opened.callback(child.stop, patience, stop.is_urgent)
            return child

        # The server takes a while to come up and needs no tables for it; the worker looks for work at once.
        server = start("server", "serve")
        migrate(variables["DATABASE_URL"])
        worker = start("worker", "worker")
        running = Stack(variables["FACNET_LISTEN"], data_dir, (server, worker), tuple(environment.notes))
        _wait_until_ready(running, stop)
        yield running


def _wait_until_ready(running: Stack, stop: _Stop) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not stop.is_set() and not is_serving(running.target, timeout=1.0):
        if dead := running.ended_child():
            raise StackError(f"{dead.name} does not start:\n{dead.log_tail()}")
        if time.monotonic() > deadline:
            raise StackError(f"the server does not answer:\n{running.children[0].log_tail()}")
        time.sleep(POLL_SECONDS)


class _Stop:
    """Set by SIGINT, SIGTERM or SIGHUP, and by the end of standard input; a second signal makes it urgent."""

    def __init__(self, *, watch_stdin: bool) -> None:
        self._stop = threading.Event()
        self._urgent = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)
        if watch_stdin:
            threading.Thread(target=self._watch_stdin, name="stdin", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for it; return whether it is set."""
        return self._stop.wait(seconds)

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self._stop.is_set()

    def is_urgent(self) -> bool:
        """Whether somebody is in a hurry."""
        return self._urgent.is_set()

    def _take(self, *_: object) -> None:
        if self._stop.is_set():
            self._urgent.set()
        self._stop.set()

    def _watch_stdin(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self._stop.set()


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _announce(running: Stack, options: StackOptions) -> None:
    data_dir = str(running.data_dir)
    notes = [sentence(f"stack.{code}", options.locale, value=value) for code, value in running.notes]
    if options.announce_json:
        values = {"target": running.target, "pid": os.getpid(), "data_dir": data_dir, "notes": notes}
        text = json.dumps(values) + "\n"
    else:
        text = sentence("stack.ready", options.locale, target=running.target, data_dir=data_dir, notes="\n".join(notes))
    sys.stdout.write(text)
    sys.stdout.flush()
