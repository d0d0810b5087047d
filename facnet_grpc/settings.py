"""Every setting, with a sentence. Read once from the environment at start; all problems are shown at once.

`DATABASE_URL` and `REDIS_URL` are the usual ones; everything else begins with `FACNET_`. Lists are comma-separated.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from facnet_grpc.keys import BadKeys, Keys
from facnet_grpc.notify_settings import NotifySettings, is_loopback
from facnet_grpc.queue_settings import QueueSettings
from facnet_grpc.schedule_settings import ScheduleSettings

MIB = 1 << 20
GIB = 1 << 30


class SettingsError(Exception):
    """One line per setting that is missing or wrong; never a value, which may be a password."""


class Settings(QueueSettings, NotifySettings, ScheduleSettings):
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
        description="PostgreSQL 15 or newer, as a URL or a conninfo string; sslmode and sslrootcert are honoured: "
        "verify-full beyond this machine.",
    )
    redis_url: SecretStr = Field(
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis 7 or Valkey, as a redis://, rediss:// (TLS; ssl_ca_certs names its CA) or unix:// URL; its "
        "eviction policy must be noeviction.",
    )
    blob_dir: Path = Field(
        description="Directory where uploaded files wait for a worker; shared by server and workers."
    )
    pseudonym_key: SecretStr = Field(
        min_length=32,
        description="Secret that the pseudonyms of patients and doctors are made with, or id:secret; at least 32 "
        "characters, the same everywhere. Older ones may follow, after commas: their pseudonyms are still understood.",
    )
    blob_key_file: Path | None = Field(
        None, description="File with the keys of FACNET_BLOB_KEY, one a line; readable for the service only."
    )
    blob_key: SecretStr | None = Field(
        None,
        description="Secret that files and patients are encrypted with at rest, or id:secret; at least 32 characters, "
        "the same everywhere. Older ones may follow, after commas: what they protect is still read.",
    )

    # Before `listen`, which depends on them.
    tls_cert: Path | None = Field(
        None, description="Certificate chain of the server, PEM; read again when it is renewed."
    )
    tls_key: Path | None = Field(
        None, validate_default=True, description="Private key of the certificate, PEM, not encrypted."
    )
    tls_client_ca: Path | None = Field(
        None,
        description="CA of client certificates, PEM; with it every client has to show one, unless mtls_listen is set.",
    )
    tls_elsewhere: bool = Field(
        False, description="A proxy in front ends TLS; without it, addresses beyond loopback need a certificate."
    )
    mtls_subjects: Path | None = Field(
        None, description="TOML file that says which client certificate is which owner, with which roles."
    )
    jwt_issuer: str = Field("", description="Issuer of bearer tokens, as their iss claim says.")
    jwt_audience: str = Field("", description="Audience that bearer tokens have to be made for.")
    jwt_jwks_url: str = Field(
        "", description="Where the issuer's public keys are, as https URL; empty: no bearer tokens."
    )
    jwt_leeway_seconds: float = Field(30.0, ge=0, le=300, description="How far clocks may be apart.")
    jwt_owner_claim: str = Field(
        "tenant", min_length=1, description="Claim with the owner that a caller's runs belong to."
    )
    jwt_roles_claim: str = Field(
        "roles", min_length=1, description="Claim with the roles: viewer, editor, admin; may be a path."
    )
    jwt_keys_seconds: float = Field(
        3600.0, gt=0, description="How long the issuer's keys are used before they are read again."
    )
    jwt_keys_pause_seconds: float = Field(
        10.0, gt=0, description="Shortest time between two readings of the issuer's keys."
    )
    dev_tokens: SecretStr = Field(
        SecretStr(""), description="Tokens for trying things out, as token=owner/role; on loopback addresses only."
    )

    listen: str = Field(
        "127.0.0.1:50051",
        description="Address and port of the gRPC server; loopback only, unless callers are told apart and TLS is on.",
    )
    mtls_listen: str = Field(
        "", description="A second address, on which clients have to show a certificate; listen asks for none then."
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

    @field_validator("tls_key")
    @classmethod
    def _certificate_and_key(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("tls_cert") is None):
            raise ValueError("a certificate and its key go together: set FACNET_TLS_CERT and FACNET_TLS_KEY")
        return value

    @field_validator("tls_client_ca")
    @classmethod
    def _clients_need_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and not info.data.get("tls_cert"):
            raise ValueError("client certificates need TLS: set FACNET_TLS_CERT")
        return value

    @field_validator("mtls_subjects")
    @classmethod
    def _subjects_need_certificates(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and not info.data.get("tls_client_ca"):
            raise ValueError("nobody shows a certificate without FACNET_TLS_CLIENT_CA")
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _keys_from_a_safe_place(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        if not info.data.get("jwt_issuer") or not info.data.get("jwt_audience"):
            raise ValueError("tokens need FACNET_JWT_ISSUER and FACNET_JWT_AUDIENCE")
        url = urlsplit(value)
        if url.scheme in {"https", "file"} or (url.scheme == "http" and is_loopback(url.hostname or "")):
            return value
        raise ValueError("needs an https URL: whoever can change the keys can be anybody")

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"http", "https", "file"}:
            raise ValueError("needs an http, https or file URL")
        return value

    @field_validator("listen", "mtls_listen")
    @classmethod
    def _guarded(cls, value: str, info: ValidationInfo) -> str:
        if info.field_name == "mtls_listen":
            if not value:
                return value
            if not info.data.get("tls_client_ca"):
                raise ValueError("client certificates need FACNET_TLS_CLIENT_CA")
        host, _, port = value.rpartition(":")
        if not port.isdigit() or not host:
            raise ValueError("needs the form address:port")
        if not is_loopback(host.strip("[]")):
            _check_exposed(info.data)
        return value

    @field_validator("pseudonym_key", "blob_key")
    @classmethod
    def _keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Keys.parse(value.get_secret_value())
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
    def pseudonym_keys(self) -> Keys:
        """The keys of pseudonyms, the current one first."""
        return Keys.parse(self.pseudonym_key.get_secret_value())

    @cached_property
    def blob_keys(self) -> Keys:
        """The keys of what is at rest, the current one first. Raises `SettingsError` if there is none."""
        try:
            if self.blob_key is not None:
                return Keys.parse(self.blob_key.get_secret_value())
            if self.blob_key_file is not None:
                return Keys.parse(self.blob_key_file.read_text("utf-8"))
        except OSError:
            raise SettingsError("FACNET_BLOB_KEY_FILE: cannot be read.") from None
        except (BadKeys, UnicodeDecodeError) as error:
            said = str(error) if isinstance(error, BadKeys) else "is no text"
            raise SettingsError(f"FACNET_BLOB_KEY_FILE: {said}.") from None
        description = type(self).model_fields["blob_key"].description
        raise SettingsError(f"FACNET_BLOB_KEY: is missing. {description} Or set FACNET_BLOB_KEY_FILE.")

    @cached_property
    def lease_beat_seconds(self) -> float:
        """Seconds between two heartbeats of a lease: three chances before it runs out."""
        return min(1.0, self.lease_seconds / 3)


def _check_exposed(told: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless a server with these settings may be reached from other machines."""
    if told.get("dev_tokens") and told["dev_tokens"].get_secret_value():
        raise ValueError(
            "must be a loopback address, because FACNET_DEV_TOKENS is set: those are for trying things out"
        )
    if told.get("webhook_loopback"):
        raise ValueError(
            "must be a loopback address, because FACNET_WEBHOOK_LOOPBACK is set: that is for trying things out"
        )
    if not told.get("jwt_jwks_url") and not told.get("mtls_subjects"):
        raise ValueError(
            "must be a loopback address, because no authentication is configured: anybody who reaches the port would "
            "read health data. Set FACNET_JWT_JWKS_URL or FACNET_MTLS_SUBJECTS"
        )
    if not told.get("tls_cert") and not told.get("tls_elsewhere"):
        raise ValueError(
            "must be a loopback address, because health data and tokens would travel in the clear. Set FACNET_TLS_CERT "
            "and FACNET_TLS_KEY, or FACNET_TLS_ELSEWHERE if a proxy in front ends TLS"
        )


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
