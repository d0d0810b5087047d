"""The environment variables of a stack's programs, and the servers and databases that they name.

`DATABASE_URL` and `REDIS_URL` are used instead of embedded servers if they are set, but never the databases that they
name: see `external`.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from facnet_grpc.devstack.embedded import start_postgres, start_valkey
from facnet_grpc.devstack.external import DatabaseUnavailable, persistent_database, redis_database, temporary_database

USUAL_PORT = 50051
EPHEMERAL_SHUTDOWN_SECONDS = 2.0  # what is thrown away need not be finished


class StackError(Exception):
    """The stack does not start; the message says what to look at."""


class Environment:
    """The environment of a stack's programs, while `opened` is not closed.

    `notes` are codes of what the user should know, each with a value: a database's name, or "".
    """

    def __init__(
        self, data_dir: Path, opened: ExitStack, *, ephemeral: bool, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Start the servers that `environ` does not name; its other variables override the defaults."""
        self._data_dir = None if ephemeral else data_dir
        self._opened = opened
        self.notes: list[tuple[str, str]] = []
        defaults = {
            "FACNET_PSEUDONYM_KEY": _key(data_dir / "pseudonym.key"),
            "FACNET_BLOB_KEY_FILE": _key_file(data_dir / "blob.key"),
            "FACNET_LISTEN": f"127.0.0.1:{_free_port(0 if ephemeral else USUAL_PORT)}",
            "FACNET_METRICS_LISTEN": "",
            "FACNET_WEBHOOK_KEYS": _key(data_dir / "webhook.key"),
            "FACNET_WEBHOOK_HOSTS": "127.0.0.1:*,[::1]:*,localhost:*",
            "FACNET_WEBHOOK_LOOPBACK": "true",
            "FACNET_SHUTDOWN_SECONDS": str(EPHEMERAL_SHUTDOWN_SECONDS if ephemeral else 30.0),
            "FACNET_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        # Never shared: only the keys of this stack decrypt what it stores, and it deletes files that its database does
        # not know.
        own = {
            "DATABASE_URL": self._database(environ.get("DATABASE_URL")),
            "REDIS_URL": self._redis(environ.get("REDIS_URL")),
            "FACNET_BLOB_DIR": str(data_dir / "blobs"),
        }
        self.variables: Mapping[str, str] = {**defaults, **environ, **own}

    def _database(self, server: str | None) -> str:
        if server:
            try:
                if self._data_dir is None:
                    return self._opened.enter_context(temporary_database(server))
                name = f"facnet_dev_{_key(self._data_dir / 'database')[:12]}"
                url = persistent_database(server, name)
            except DatabaseUnavailable:
                self.notes.append(("postgres_embedded", ""))
            else:
                self.notes.append(("postgres_kept", name))
                return url
        postgres = start_postgres(self._data_dir and self._data_dir / "postgres", durable=self._data_dir is not None)
        return self._opened.enter_context(postgres)

    def _redis(self, server: str | None) -> str:
        if server:
            try:
                return self._opened.enter_context(redis_database(server))
            except DatabaseUnavailable:
                self.notes.append(("redis_embedded", ""))
        valkey = start_valkey(self._data_dir and self._data_dir / "valkey", durable=self._data_dir is not None)
        return self._opened.enter_context(valkey)


@contextmanager
def data_directory(chosen: Path | None, *, ephemeral: bool) -> Iterator[Path]:
    """Yield the directory of a stack's data: one that goes away if it is ephemeral, else `chosen` or the usual one."""
    if ephemeral:
        with tempfile.TemporaryDirectory(prefix="facnet-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    data_dir = (chosen or _usual_data_dir()).absolute()
    # Open to others for passing through only if PostgreSQL has to run as somebody else.
    data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    yield data_dir


def _usual_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/facnet-dev")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "facnet"


def _key(path: Path) -> str:
    """Return the secret of this data directory, made the first time: pseudonyms stay the same between starts."""
    if not path.exists():
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w") as stream:
            stream.write(secrets.token_hex(32))
    return path.read_text().strip()


def _key_file(path: Path) -> str:
    _key(path)
    return str(path)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError("no port is free on 127.0.0.1")
