"""PostgreSQL and Valkey from wheels, as child processes: for `make demo`, `make dev` and the tests.

Both listen on unix sockets in a directory that nobody else may enter, so that neither passwords nor ports are needed.

PostgreSQL refuses to run as root. It is then run as `nobody`, which has to reach its files: binaries in a checkout
under /root are copied to /var/tmp once, and a data directory that cannot be reached is refused with the cure.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from facnet_grpc.devstack.embedded_server import EmbeddedServer
from facnet_grpc.devstack.wheels import EmbeddedError, make_data_dir, postgres_binaries, valkey_binary

SUPERUSER = "facnet"
RUN_AS = "nobody"


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL on a unix socket; `durable=False` trades safety on a crash of the machine for speed (tests)."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then stops in order
    crash_signal = signal.SIGQUIT  # "immediate": recovers from its log at the next start

    def __init__(self, data_dir: Path | None = None, *, durable: bool = True) -> None:
        super().__init__(data_dir, durable=durable)
        self._user = pwd.getpwnam(RUN_AS) if os.geteuid() == 0 else None
        self._bin = Path()

    @property
    def url(self) -> str:
        """Return a libpq URL of the database `postgres`, as its superuser."""
        return f"postgresql://{SUPERUSER}@/postgres?host={quote(str(self.dir), safe='')}"

    def _prepare(self) -> None:
        self._bin = postgres_binaries(self._user)
        make_data_dir(self.data_dir, self._user)
        if (self.data_dir / "PG_VERSION").exists():
            return
        options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(self._bin / "initdb"), "-D", str(self.data_dir), "-U", SUPERUSER, "-A", "trust"]
        # Data that go away with this process need not be on the disk; for others, flushing once is the faster way.
        options.append("--sync-method=syncfs" if self._durable and self._given_data_dir else "--no-sync")
        if self._spawn([*command, *options]).wait() != 0:
            raise EmbeddedError(f"{self.name} cannot make its data directory:\n{self._last_words()}")

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
        return [str(valkey_binary()), *words]

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
def start_postgres(data_dir: Path | None = None, *, durable: bool = True) -> Iterator[str]:
    """Run PostgreSQL and yield its URL. Without `data_dir` everything is gone in the end."""
    with EmbeddedPostgres(data_dir, durable=durable) as server:
        yield server.url


@contextmanager
def start_valkey(data_dir: Path | None = None, *, durable: bool = False) -> Iterator[str]:
    """Run Valkey and yield its URL. It remembers nothing unless `durable` and `data_dir` say so."""
    with EmbeddedValkey(data_dir, durable=durable) as server:
        yield server.url
