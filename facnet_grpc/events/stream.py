"""Publishes and tails events of runs over Redis streams, one stream per run.

Events are hints. They may be lost, and Redis may be emptied at any moment: a reader starts with PostgreSQL, and asks it
again whenever `TransientError` is raised here. An entry has the field `status` (a `RunStatus`) and, while a worker
processes the run, `progress` (a serialized `RunProgress`). Unknown fields are ignored and kept; an entry that cannot be
decoded becomes an event without a status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

import redis
from google.protobuf.message import DecodeError
from redis.backoff import NoBackoff
from redis.retry import Retry

from facnet_grpc import metrics
from facnet_grpc.errors import InvalidInput, Reason, TransientError
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.model.run import RunStatus

KEEP_EVENTS = 200  # of a run
KEEP_SECONDS = 3600
KEEP_ENDED = 100  # runs
TIMEOUT_SECONDS = 1.0

# The longest single wait for news: shorter than a client's patience for an answer (see `connect`).
_BLOCK_SECONDS = 0.5
_START = "0-0"
_POSITION = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """The state of a run at one moment: ids, counts and codes only, and never input to work.

    `progress` is None when the publisher has no figures (the run was queued again, or cancelled while queued).
    `position` is the id of the entry in the stream of the run; empty until the event is published. `status` is None if
    this release cannot read the entry: one of another release, or a damaged one.
    """

    run_id: UUID
    status: RunStatus | None
    progress: RunProgress | None = None
    position: str = ""


class EventStream(Protocol):
    """Where events go. Every method but `interrupt` raises `TransientError` while Redis does not answer."""

    def publish(self, event: RunEvent) -> None:
        """Append an event to its run's stream; its own position is ignored."""

    def latest(self, run_id: UUID) -> RunEvent | None:
        """Return the last event of a run, None if it has none (any more)."""

    def tail(self, after: Mapping[UUID, str], *, block_seconds: float) -> list[RunEvent]:
        """Return the events of several runs after a position each, in order within a run; wait for the first one.

        The empty position is before everything that is kept: pass that of `latest()` to skip the past.
        Returns an empty list after `block_seconds` or `interrupt()`. One thread at a time.
        Raises `InvalidInput` (BAD_CURSOR) if a position is not one: see `is_position`.
        """

    def interrupt(self) -> None:
        """Wake `tail()` from another thread, or let the next one return at once. Never raises."""

    def forget(self, run_id: UUID) -> None:
        """Remove all events of a run."""

    def check(self) -> None:
        """Return if events can be published."""


def is_position(text: str) -> bool:
    """Whether `text` may be passed to `tail` as a position."""
    return not text or _POSITION.fullmatch(text) is not None


def connect(redis_url: str) -> redis.Redis:
    """Return a client that gives up within a second or two instead of waiting; it connects at its first command."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),  # a connection that broke while idle
        retry_on_error=[redis.ConnectionError],
    )


class RedisEvents:
    """Events over Redis: a stream per run, which goes away by itself. `client` is best made by `connect`."""

    def __init__(self, client: redis.Redis, *, prefix: str = "facnet:", keep_ended: int = KEEP_ENDED) -> None:
        self._client = client
        self._keep_ended = keep_ended
        self._prefix = f"{prefix}events:"
        self._ended_key = f"{prefix}ended"  # runs whose last event is published, by when that was
        # Waking a blocked XREAD takes a message on a stream that it reads: this one is only ours.
        self._wake_key = f"{prefix}wake:{uuid4()}"
        self._wake_position = _START

    def publish(self, event: RunEvent) -> None:
        """Append an event to its run's stream."""
        key = self._key(event.run_id)
        try:
            with self._client.pipeline(transaction=True) as pipe:  # never one without the other
                pipe.xadd(key, encode(event), maxlen=KEEP_EVENTS, approximate=True)
                pipe.expire(key, KEEP_SECONDS)
                pipe.execute()
            if event.status is not None and event.status.is_terminal:
                self._drop_oldest(event.run_id)
        except redis.RedisError:
            raise TransientError from None

    def _drop_oldest(self, ended: UUID) -> None:
        """Keep the events of the last `keep_ended` runs that ended: PostgreSQL knows what became of the others."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zadd(self._ended_key, {str(ended): time()})
            pipe.zrange(self._ended_key, 0, -self._keep_ended - 1)
            pipe.expire(self._ended_key, KEEP_SECONDS)
            _, oldest, _ = pipe.execute()
            if oldest:
                pipe.zrem(self._ended_key, *oldest)
                pipe.delete(*(f"{self._prefix}{run_id.decode()}" for run_id in oldest))
                pipe.execute()

    def forget(self, run_id: UUID) -> None:
        """Remove all events of a run."""
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.delete(self._key(run_id))
                pipe.zrem(self._ended_key, str(run_id))
                pipe.execute()
        except redis.RedisError:
            raise TransientError from None

    def check(self) -> None:
        """Return if events can be published."""
        try:
            self._client.ping()
        except redis.RedisError:
            raise TransientError from None

    def latest(self, run_id: UUID) -> RunEvent | None:
        """Return the last event of a run."""
        try:
            found = cast("list[Any]", self._client.xrevrange(self._key(run_id), count=1))
        except redis.RedisError:
            raise TransientError from None
        return decode(run_id, *found[0]) if found else None

    def tail(self, after: Mapping[UUID, str], *, block_seconds: float) -> list[RunEvent]:
        """Return the events after `after`, waiting for the first one."""
        streams = {self._key(run_id): _checked(position) for run_id, position in after.items()}
        runs = {self._key(run_id).encode(): run_id for run_id in after}
        deadline = monotonic() + block_seconds
        while True:
            found = self._read(streams, min(deadline - monotonic(), _BLOCK_SECONDS))
            woken = found.pop(self._wake_key.encode(), [])
            if woken:
                self._wake_position = woken[-1][0].decode()
            events = [decode(runs[key], *entry) for key, entries in found.items() for entry in entries]
            if events or woken or monotonic() >= deadline:
                return events

    def interrupt(self) -> None:
        """Wake `tail()`."""
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.xadd(self._wake_key, {"wake": ""}, maxlen=1, approximate=False)
                pipe.expire(self._wake_key, KEEP_SECONDS)
                pipe.execute()
        except redis.RedisError:
            return  # then tail() is failing as well

    def _read(self, streams: Mapping[str, str], seconds: float) -> dict[bytes, list[Any]]:
        wanted: Any = {**streams, self._wake_key: self._wake_position}
        try:
            found: Any = self._client.xread(wanted, block=max(1, int(seconds * 1000)))
        except redis.RedisError:
            raise TransientError from None
        return _by_stream(found)

    def _key(self, run_id: UUID) -> str:
        return f"{self._prefix}{run_id}"


def _by_stream(found: Any) -> dict[bytes, list[Any]]:
    """Return entries by key, whichever protocol they came by."""
    if isinstance(found, dict):
        return {key: [entry for part in parts for entry in part] for key, parts in found.items()}
    return {key: list(entries) for key, entries in found or ()}


def _checked(position: str) -> str:
    if not is_position(position):
        raise InvalidInput(Reason.BAD_CURSOR, field="after_cursor")
    return position or _START


def encode(event: RunEvent) -> dict[Any, Any]:
    """Return the fields of an entry."""
    fields: dict[Any, Any] = {"status": str(event.status)}
    if event.progress is not None:
        fields["progress"] = event.progress.SerializeToString()
    return fields


def decode(run_id: UUID, position: bytes, fields: Mapping[bytes, bytes]) -> RunEvent:
    """Return the event of an entry; an unreadable entry keeps its position, so that the reader gets past it."""
    status, progress = None, None
    try:
        status = RunStatus(fields[b"status"].decode())
        progress = RunProgress.FromString(fields[b"progress"]) if b"progress" in fields else None
    except (KeyError, ValueError, DecodeError):
        metrics.EVENTS_UNREADABLE.inc()
        status = None
    return RunEvent(run_id, status, progress, position.decode())
