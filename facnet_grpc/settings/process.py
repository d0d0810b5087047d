"""Settings of the server's process, of the worker's, and of what both do: logs, traces, metrics, shutdown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from facnet_grpc.settings.environment import GIB, MIB, SettingsGroup


class UploadSettings(SettingsGroup):
    """Limits of uploaded files."""

    max_file_bytes: int = Field(2 * GIB, gt=0, description="Maximum size of an uploaded file, in bytes.")
    max_expanded_bytes: int = Field(
        64 * GIB, gt=0, description="Maximum size of a compressed file after decompression, in bytes."
    )
    max_expansion_ratio: int = Field(200, gt=0, description="Maximum ratio of decompressed to compressed size.")
    max_chunk_bytes: int = Field(MIB, gt=0, description="Maximum size of an upload chunk, in bytes.")
    max_open_uploads: int = Field(100, gt=0, description="Maximum number of unfinished uploads per owner.")
    upload_idle_seconds: float = Field(
        60.0, gt=0, description="Time after which an upload that sends nothing is aborted."
    )
    upload_ttl_seconds: int = Field(
        3600, gt=0, description="How long the bytes of an interrupted upload are kept after the last one."
    )


class ServerSettings(SettingsGroup):
    """Limits of calls and connections, and the threads of the server."""

    reuse_port: bool = Field(
        False,
        description="Allow several servers on this machine to share the port; the kernel distributes connections.",
    )
    calls_per_minute: int = Field(
        30_000, ge=0, description="Average rate of calls per owner and minute, over all servers; 0: unlimited."
    )
    calls_burst: int = Field(
        30_000,
        gt=0,
        description="Maximum number of calls that an owner may make at once after a pause, over all servers.",
    )
    max_open_calls: int = Field(20_000, gt=0, description="Maximum number of concurrent calls per owner on one server.")
    max_connection_streams: int = Field(10_000, gt=0, description="Maximum number of concurrent calls per connection.")
    max_metadata_bytes: int = Field(16 << 10, ge=1024, description="Maximum size of the headers of a call, in bytes.")
    io_threads: int = Field(16, gt=0, description="Threads of the server that access PostgreSQL and the disk.")
    default_deadline_seconds: float = Field(30.0, gt=0, description="Deadline of unary calls that have none.")
    max_stream_seconds: float = Field(3600.0, gt=0, description="Maximum duration of a stream; clients then reconnect.")
    max_connection_seconds: float = Field(
        3600.0, ge=0, description="Age after which a connection accepts no new calls; 0: unlimited."
    )
    connection_grace_seconds: float = Field(
        300.0, gt=0, description="How long open calls may continue on a connection of that age."
    )
    heartbeat_seconds: float = Field(
        15.0, gt=0, description="Interval at which a watch repeats the state of a run that does not change."
    )


class RuleSettings(SettingsGroup):
    """Which rules are evaluated, and how many at once."""

    rule_packs_dir: Path | None = Field(None, description="Directory with additional rule packs (*.toml).")
    rule_threads: int = Field(
        2,
        ge=1,
        description="Number of rules evaluated in parallel. Small files, and very large ones (to save memory), use 1.",
    )


class WorkerSettings(SettingsGroup):
    """How many runs one worker works on at once."""

    worker_processes: int = Field(2, gt=0, description="Number of processes per worker.")
    worker_threads: int = Field(1, gt=0, description="Number of runs that one worker process processes in parallel.")


class ProcessSettings(SettingsGroup):
    """Logs, traces, metrics and shutdown of every process."""

    metrics_listen: str = Field(
        "127.0.0.1:9464", description="Address and port for Prometheus metrics, /livez and /readyz; empty: none."
    )
    shutdown_seconds: float = Field(30.0, ge=0, description="How long calls and jobs may continue after SIGTERM.")
    otlp_endpoint: str = Field(
        "",
        description="Destination of traces: http(s) URL of an OTLP collector, or file:///path for one JSON line "
        "per span; empty: none, unless OTEL_EXPORTER_OTLP_ENDPOINT is set.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level of log entries.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Format of log lines; auto: console on a terminal, else json."
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"http", "https", "file"}:
            raise ValueError("needs an http, https or file URL")
        return value
