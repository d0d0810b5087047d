"""A whole stack on this machine: PostgreSQL, Valkey, a server and a worker; stopped in reverse, nothing left behind.

`DATABASE_URL` and `REDIS_URL` are used instead of embedded servers if they are set.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from facnet_grpc.devstack.child import Child
from facnet_grpc.devstack.embedded import start_postgres, start_valkey
from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.storage.postgres.migrate import migrate

READY_SECONDS = 60.0
POLL_SECONDS = 0.1
USUAL_PORT = 50051
EPHEMERAL_SHUTDOWN_SECONDS = 2.0  # what is thrown away need not be finished
STOP_MARGIN_SECONDS = 10.0


class StackError(Exception):
    """The stack does not start; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How a stack is run. Without a data directory it is in the user's own; an ephemeral one leaves nothing."""

    data_dir: Path | None = None
    ephemeral: bool = False
    announce_json: bool = False
    until_stdin_closes: bool = False
    language: str = "fr"


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that answers."""

    target: str
    data_dir: Path
    children: tuple[Child, ...]

    def casualty(self) -> Child | None:
        """Return a child that has ended by itself."""
        return next((child for child in self.children if child.exit_status is not None), None)


def run(options: StackOptions) -> None:
    """Run a stack until a signal, or the end of standard input, says to stop. Raises `StackError`."""
    stop = _Stop(watch_stdin=options.until_stdin_closes)
    with stack(options, stop) as running:
        _announce(running, options)
        while not stop.wait(POLL_SECONDS):
            if dead := running.casualty():
                raise StackError(f"{dead.name} has ended with status {dead.exit_status}; its log: {dead.log}")


@contextmanager
def stack(options: StackOptions, stop: _Stop) -> Iterator[Stack]:
    """Start everything and wait until the server answers; stop everything in the end."""
    with ExitStack() as opened:
        data_dir = opened.enter_context(_data_dir(options))
        logs = _private(data_dir / "logs")
        environment = _environment(options, data_dir, opened)
        patience = float(environment["FACNET_SHUTDOWN_SECONDS"]) + STOP_MARGIN_SECONDS

        def start(name: str, command: str) -> Child:
            child = Child(name, [sys.executable, "-m", "facnet_grpc", command], environment, logs / f"{name}.log")
            opened.callback(child.stop, patience, stop.is_urgent)
            return child

        # The server takes a while to come up and needs no tables for it; the worker looks for work at once.
        server = start("server", "serve")
        migrate(environment["DATABASE_URL"])
        worker = start("worker", "worker")
        running = Stack(environment["FACNET_LISTEN"], data_dir, (server, worker))
        _wait_until_ready(running, stop)
        yield running


def _wait_until_ready(running: Stack, stop: _Stop) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not stop.is_set() and not is_serving(running.target, timeout=1.0):
        if dead := running.casualty():
            raise StackError(f"{dead.name} does not start:\n{dead.last_words()}")
        if time.monotonic() > deadline:
            raise StackError(f"the server does not answer:\n{running.children[0].last_words()}")
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


@contextmanager
def _data_dir(options: StackOptions) -> Iterator[Path]:
    if options.ephemeral:
        with tempfile.TemporaryDirectory(prefix="facnet-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    data_dir = (options.data_dir or _usual_data_dir()).absolute()
    # Open to others for passing through only if PostgreSQL has to run as somebody else.
    data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    yield data_dir


def _usual_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/facnet-dev")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "facnet"


def _environment(options: StackOptions, data_dir: Path, opened: ExitStack) -> dict[str, str]:
    given = dict(os.environ)
    kept = None if options.ephemeral else data_dir
    ours = {
        "FACNET_BLOB_DIR": str(data_dir / "blobs"),
        "FACNET_PSEUDONYM_KEY": _key(data_dir / "pseudonym.key"),
        "FACNET_BLOB_KEY_FILE": _key_file(data_dir / "blob.key"),
        "FACNET_LISTEN": f"127.0.0.1:{_free_port(0 if options.ephemeral else USUAL_PORT)}",
        "FACNET_METRICS_LISTEN": "",
        "FACNET_WEBHOOK_KEYS": _key(data_dir / "webhook.key"),
        "FACNET_WEBHOOK_HOSTS": "127.0.0.1:*,[::1]:*,localhost:*",
        "FACNET_WEBHOOK_LOOPBACK": "true",
        "FACNET_SHUTDOWN_SECONDS": str(EPHEMERAL_SHUTDOWN_SECONDS if options.ephemeral else 30.0),
        "FACNET_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    if "DATABASE_URL" not in given:
        postgres = start_postgres(kept and kept / "postgres", durable=not options.ephemeral)
        ours["DATABASE_URL"] = opened.enter_context(postgres)
    if "REDIS_URL" not in given:
        valkey = start_valkey(kept and kept / "valkey", durable=not options.ephemeral)
        ours["REDIS_URL"] = opened.enter_context(valkey)
    return {**ours, **given}


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


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


_WELCOME: Mapping[str, str] = {
    "fr": """Prêt : {target}
Données et journaux : {data_dir}

À essayer, dans un autre terminal :
  facnet sample 5000 /tmp/reclamations.csv
  facnet --server {target} submit /tmp/reclamations.csv --watch
  facnet --server {target} list

Ctrl-C arrête tout ; les données restent.
""",
    "en": """Ready: {target}
Data and logs: {data_dir}

To try, in another terminal:
  facnet sample 5000 /tmp/claims.csv
  facnet --server {target} submit /tmp/claims.csv --watch
  facnet --server {target} list

Ctrl-C stops everything; the data stay.
""",
}


def _announce(running: Stack, options: StackOptions) -> None:
    data_dir = str(running.data_dir)
    if options.announce_json:
        text = json.dumps({"target": running.target, "pid": os.getpid(), "data_dir": data_dir}) + "\n"
    else:
        text = _WELCOME[options.language].format(target=running.target, data_dir=data_dir)
    sys.stdout.write(text)
    sys.stdout.flush()
