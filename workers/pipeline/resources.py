"""What an attempt needs from outside, made once per process by `workers.main`."""

from __future__ import annotations

from dataclasses import dataclass, field

from facnet_grpc.events.stream import EventStream
from facnet_grpc.jobs.queue import JobQueue
from facnet_grpc.rules.registry import Registry
from facnet_grpc.settings import Settings
from facnet_grpc.storage.blobs import BlobStore
from facnet_grpc.storage.postgres.pool import Database
from workers.pipeline.busy import Busy
from workers.pipeline.control import Stopping
from workers.pipeline.references import References


@dataclass(frozen=True)
class Resources:
    """Ready things; whoever made them opens and closes them."""

    settings: Settings
    database: Database
    blobs: BlobStore
    events: EventStream
    queue: JobQueue
    rules: Registry
    references: References
    stopping: Stopping
    busy: Busy = field(default_factory=Busy)
