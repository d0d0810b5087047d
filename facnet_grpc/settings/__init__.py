"""Every setting, with a sentence. Read once from the environment at start; all problems are shown at once.

`DATABASE_URL` and `REDIS_URL` are the usual ones; everything else begins with `FACNET_`. Lists are comma-separated.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from facnet_grpc.settings.access import AccessSettings
from facnet_grpc.settings.environment import SettingsError, variable
from facnet_grpc.settings.notify import NotifySettings
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.settings.schedule import ScheduleSettings
from facnet_grpc.settings.storage import StoreSettings

MIB = 1 << 20
GIB = 1 << 30


# Fields, and with them the problems at start, come in the order of these classes, the last one first. `AccessSettings`
# depends on what `NotifySettings` says.
class Settings(AccessSettings, StoreSettings, QueueSettings, NotifySettings, ScheduleSettings):
    """What the server and the workers can be told."""

    model_config = SettingsConfigDict(
        env_prefix="FACNET_",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        extra="ignore",
    )

    reuse_port: bool = Field(
        False, description="Several servers of this machine share the port, and the kernel deals out connections."
    )
    metrics_listen: str = Field(
        "127.0.0.1:9464", description="Address and port of the Prometheus page, with /livez and /readyz; empty: none."
    )
    max_file_bytes: int = Field(2 * GIB, gt=0, description="Largest file taken, in bytes.")
    max_expanded_bytes: int = Field(
        64 * GIB, gt=0, description="Largest size of a compressed file once expanded, in bytes."
    )
    max_expansion_ratio: int = Field(
        200, gt=0, description="How many times its own size a compressed file may expand to."
    )
    max_chunk_bytes: int = Field(MIB, gt=0, description="Largest chunk taken, in bytes.")
    max_open_uploads: int = Field(100, gt=0, description="How many uploads one owner may have open at once.")
    calls_per_minute: int = Field(
        30_000, ge=0, description="How many calls one owner may make a minute in the long run; 0: any number."
    )
    calls_burst: int = Field(30_000, gt=0, description="How many calls one owner who was silent may make at once.")
    max_open_calls: int = Field(
        20_000, gt=0, description="How many calls one owner may have open at once on one server."
    )
    max_connection_streams: int = Field(
        10_000, gt=0, description="How many calls one connection may have open at once."
    )
    max_metadata_bytes: int = Field(16 << 10, ge=1024, description="Largest headers of a call, in bytes.")
    upload_idle_seconds: float = Field(
        60.0, gt=0, description="How long an upload may send nothing before it is given up."
    )
    upload_ttl_seconds: int = Field(3600, gt=0, description="How long the bytes of a broken upload are kept.")
    failed_blob_seconds: int = Field(
        86_400, ge=0, description="How long the file of a failed run is kept for RetryValidation."
    )
    retention_days: int = Field(
        30, gt=0, description="How many days after its end a run is kept, with its lines and results."
    )
    io_threads: int = Field(16, gt=0, description="Threads of the server that talk to PostgreSQL and the disk.")
    database_connections: int = Field(16, gt=0, description="Most connections that one process holds to PostgreSQL.")
    default_deadline_seconds: float = Field(30.0, gt=0, description="Deadline of unary calls that bring none.")
    max_stream_seconds: float = Field(
        3600.0, gt=0, description="Longest life of a stream; clients then go on with another."
    )
    max_connection_seconds: float = Field(
        3600.0, ge=0, description="Age at which a connection takes no new calls; 0: none."
    )
    connection_grace_seconds: float = Field(300.0, gt=0, description="How long calls on such a connection may go on.")
    heartbeat_seconds: float = Field(
        15.0, gt=0, description="How often a watcher hears something when nothing changes."
    )
    shutdown_seconds: float = Field(30.0, ge=0, description="How long calls and jobs may go on after SIGTERM.")

    worker_processes: int = Field(2, gt=0, description="Processes of one worker; each works on one run at a time.")
    worker_threads: int = Field(1, gt=0, description="Runs that one worker process works on at once.")
    lease_seconds: float = Field(
        30.0, gt=0, description="How long a silent worker keeps a run before another may take it."
    )
    max_attempts: int = Field(3, gt=0, description="How many times work on a run may begin.")
    retry_base_seconds: float = Field(2.0, gt=0, description="Wait before the second attempt; doubles, with jitter.")
    rule_packs_dir: Path | None = Field(None, description="Folder with rule packs of your own.")
    rule_threads: int = Field(
        2,
        ge=1,
        description="Rules of a run that are evaluated at once; of a small file one, and of a very large one, for its "
        "memory's sake.",
    )

    otlp_endpoint: str = Field(
        "",
        description="Where traces go: the http(s) address of an OTLP collector, or file:///path for one JSON line a "
        "span; empty: nowhere, unless OTEL_EXPORTER_OTLP_ENDPOINT says so.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Log lines for machines or for people; auto: by terminal."
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"http", "https", "file"}:
            raise ValueError("needs an http, https or file URL")
        return value

    @classmethod
    def from_env(cls) -> Self:
        """Read the environment. Raises `SettingsError` with one line per problem."""
        try:
            settings = cls()
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        _ = settings.blob_keys  # known to be there and whole from here on
        return settings

    @cached_property
    def lease_beat_seconds(self) -> float:
        """Seconds between two heartbeats of a lease: three chances before it runs out."""
        return min(1.0, self.lease_seconds / 3)


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        field = Settings.model_fields.get(name.lower())
        said = "is missing" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
        lines.append(f"{variable(name.lower())}: {said}." + (f" {field.description}" if field else ""))
    return "\n".join(lines)
