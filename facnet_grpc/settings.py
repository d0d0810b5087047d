"""Every setting, with a sentence. Read once from the environment at start; all problems are shown at once.

`DATABASE_URL` and `REDIS_URL` are the usual ones; everything else begins with `FACNET_`. Lists are comma-separated.
"""

from __future__ import annotations

from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20
GIB = 1 << 30


class SettingsError(Exception):
    """One line per setting that is missing or wrong; never a value, which may be a password."""


class Settings(BaseSettings):
    """What the server and the workers can be told."""

    model_config = SettingsConfigDict(
        env_prefix="FACNET_",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        extra="ignore",
    )

    database_url: SecretStr = Field(
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="PostgreSQL 15 or newer, as a URL or a conninfo string.",
    )
    redis_url: SecretStr = Field(
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis 7 or Valkey, as a redis://, rediss:// or unix:// URL; its eviction policy must be noeviction.",
    )
    blob_dir: Path = Field(
        description="Directory where uploaded files wait for a worker; shared by server and workers."
    )
    pseudonym_key: SecretStr = Field(
        min_length=32,
        description="Secret that the pseudonyms of patients and doctors are made with; at least 32 characters, the same everywhere.",
    )

    listen: str = Field("127.0.0.1:50051", description="Address and port of the gRPC server; loopback only.")
    metrics_listen: str = Field("127.0.0.1:9464", description="Address and port of the Prometheus page; empty: none.")
    max_file_bytes: int = Field(2 * GIB, gt=0, description="Largest file taken, in bytes.")
    max_expanded_bytes: int = Field(
        64 * GIB, gt=0, description="Largest size of a compressed file once expanded, in bytes."
    )
    max_expansion_ratio: int = Field(
        200, gt=0, description="How many times its own size a compressed file may expand to."
    )
    max_chunk_bytes: int = Field(MIB, gt=0, description="Largest chunk taken, in bytes.")
    max_open_uploads: int = Field(100, gt=0, description="How many uploads one owner may have open at once.")
    upload_ttl_seconds: int = Field(3600, gt=0, description="How long the bytes of a broken upload are kept.")
    failed_blob_seconds: int = Field(
        86_400, ge=0, description="How long the file of a failed run is kept for RetryValidation."
    )
    io_threads: int = Field(16, gt=0, description="Threads of the server that talk to PostgreSQL and the disk.")
    database_connections: int = Field(16, gt=0, description="Most connections that one process holds to PostgreSQL.")
    default_deadline_seconds: float = Field(30.0, gt=0, description="Deadline of unary calls that bring none.")
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
    reconcile_seconds: float = Field(
        5.0, gt=0, description="How often workers look for lost messages and expired leases."
    )
    rule_packs_dir: Path | None = Field(None, description="Folder with rule packs of your own.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Log lines for machines or for people; auto: by terminal."
    )

    @field_validator("listen")
    @classmethod
    def _loopback_only(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not port.isdigit() or not host:
            raise ValueError("needs the form address:port")
        if not _is_loopback(host.strip("[]")):
            raise ValueError("must be a loopback address, because no authentication is configured")
        return value

    @classmethod
    def from_env(cls) -> Self:
        """Read the environment. Raises `SettingsError` with one line per problem."""
        try:
            return cls()  # type: ignore[call-arg]  # the fields come from the environment
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None

    @cached_property
    def lease_beat_seconds(self) -> float:
        """Seconds between two heartbeats of a lease: three chances before it runs out."""
        return min(1.0, self.lease_seconds / 3)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return name.upper() if name in {"database_url", "redis_url"} else f"FACNET_{name.upper()}"


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        field = Settings.model_fields.get(name.lower())
        said = "is missing" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
        lines.append(f"{variable(name.lower())}: {said}." + (f" {field.description}" if field else ""))
    return "\n".join(lines)
