"""Settings of the server's process, of the worker's, and of what both do: logs, traces, metrics, shutdown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from facnet_grpc.settings.environment import GIB, MIB, SettingsGroup


class UploadSettings(SettingsGroup):
    """Limits of uploaded files."""

    max_file_bytes: int = Field(2 * GIB, gt=0, description="Largest file taken, in bytes.")
    max_expanded_bytes: int = Field(
        64 * GIB, gt=0, description="Largest size of a compressed file once expanded, in bytes."
    )
    max_expansion_ratio: int = Field(
        200, gt=0, description="How many times its own size a compressed file may expand to."
    )
    max_chunk_bytes: int = Field(MIB, gt=0, description="Largest chunk taken, in bytes.")
    max_open_uploads: int = Field(100, gt=0, description="How many uploads one owner may have open at once.")
    upload_idle_seconds: float = Field(
        60.0, gt=0, description="How long an upload may send nothing before it is given up."
    )
    upload_ttl_seconds: int = Field(3600, gt=0, description="How long the bytes of a broken upload are kept.")


class ServerSettings(SettingsGroup):
    """Limits of calls and connections, and the threads of the server."""

    reuse_port: bool = Field(
        False, description="Several servers of this machine share the port, and the kernel deals out connections."
    )
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
    io_threads: int = Field(16, gt=0, description="Threads of the server that talk to PostgreSQL and the disk.")
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


class RuleSettings(SettingsGroup):
    """Which rules are evaluated, and how many at once."""

    rule_packs_dir: Path | None = Field(None, description="Folder with rule packs of your own.")
    rule_threads: int = Field(
        2,
        ge=1,
        description="Rules of a run that are evaluated at once; of a small file one, and of a very large one, for its "
        "memory's sake.",
    )


class WorkerSettings(SettingsGroup):
    """How many runs one worker works on at once."""

    worker_processes: int = Field(2, gt=0, description="Processes of one worker; each works on one run at a time.")
    worker_threads: int = Field(1, gt=0, description="Runs that one worker process works on at once.")


class ProcessSettings(SettingsGroup):
    """Logs, traces, metrics and shutdown of every process."""

    metrics_listen: str = Field(
        "127.0.0.1:9464", description="Address and port of the Prometheus page, with /livez and /readyz; empty: none."
    )
    shutdown_seconds: float = Field(30.0, ge=0, description="How long calls and jobs may go on after SIGTERM.")
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
