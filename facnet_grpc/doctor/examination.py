"""All checks of the doctor, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Iterator

from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.doctor import access, notifications, storage
from facnet_grpc.doctor.report import Finding
from facnet_grpc.settings import Settings


def examine(settings: Settings, server: str | None = None) -> Iterator[Finding]:
    """Yield the result of each check; `server` is probed instead of the address in the settings."""
    yield storage.check_postgres(settings.storage)
    yield storage.check_redis(settings.storage)
    yield storage.check_blobs(settings.storage)
    yield from access.examine(settings.access)
    yield from storage.examine_operations(settings.storage)
    yield from notifications.examine(settings.notify)
    yield check_server(server or settings.access.listen)


def check_server(target: str) -> Finding:
    """Check that a server at `target` (host:port) says that it is serving."""
    answers = is_serving(target)
    return Finding("server", answers, "server_ok" if answers else "server_away", target)
