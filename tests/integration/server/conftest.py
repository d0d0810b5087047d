"""Servers of the product on free ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hooks import HookedBlobs, HookedDatabase
from serving import KEY, Server

from facnet_grpc.events.stream import RedisEvents, connect
from facnet_grpc.jobs.queue import JobQueue, make_broker
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server.main import Resources, Tuning
from facnet_grpc.settings import Settings
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import Database


@pytest.fixture
def make_server(database: Database, blob_store: LocalBlobStore, redis_url: str) -> Iterator[Callable[..., Server]]:
    """Starts servers with other settings and tuning; `redis` may point to nowhere."""
    started: list[Server] = []
    closers: list[Callable[[], None]] = []

    def make(*, redis: str = redis_url, tuning: Tuning | None = None, **changes: Any) -> Server:
        settings = Settings.of(
            database_url="unused",
            redis_url=redis,
            blob_dir=Path("unused"),
            pseudonym_key=KEY,
            blob_key=KEY,
            **{"listen": "127.0.0.1:0", **changes},
        )
        client, broker = connect(redis), make_broker(redis)
        closers.extend([client.close, broker.close])
        server = Server(
            Resources(
                settings=settings,
                database=HookedDatabase(database),  # type: ignore[arg-type]
                blobs=HookedBlobs(blob_store),  # type: ignore[arg-type]
                events=RedisEvents(client),
                queue=JobQueue(broker),
                redactor=Redactor(KEY.encode()),
                tuning=tuning or Tuning(),
            ),
        )
        started.append(server)
        return server

    yield make
    for server in started:
        server.stop()
    for close in closers:
        close()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server with the usual settings."""
    return make_server()
