"""Settings of access: addresses, TLS, client certificates and bearer tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from facnet_grpc.settings.environment import SettingsGroup, is_loopback


class AccessSettings(SettingsGroup):
    """TLS, certificates, tokens, addresses; one beyond loopback needs TLS and a way to tell callers apart."""

    # Before `listen`, which depends on them.
    tls_cert: Path | None = Field(
        None, description="Certificate chain of the server, PEM; read again when the file changes."
    )
    tls_key: Path | None = Field(
        None, validate_default=True, description="Private key of the certificate, PEM, not encrypted."
    )
    tls_client_ca: Path | None = Field(
        None,
        description="Certificate authority of client certificates, PEM. If set, clients must present a "
        "certificate: on FACNET_MTLS_LISTEN if that is set, else on FACNET_LISTEN.",
    )
    tls_elsewhere: bool = Field(
        False, description="A proxy terminates TLS. If false, addresses other than loopback require a certificate."
    )
    mtls_subjects: Path | None = Field(None, description="TOML file that maps client certificates to owners and roles.")
    jwt_issuer: str = Field("", description="Required issuer (claim iss) of bearer tokens.")
    jwt_audience: str = Field("", description="Required audience (claim aud) of bearer tokens.")
    jwt_jwks_url: str = Field(
        "", description="https URL of the issuer's public keys (JWKS); empty: bearer tokens are not accepted."
    )
    jwt_leeway_seconds: float = Field(
        30.0, ge=0, le=300, description="Tolerated clock difference in the validity period of tokens."
    )
    jwt_owner_claim: str = Field("tenant", min_length=1, description="Claim that holds the owner of a caller's runs.")
    jwt_roles_claim: str = Field(
        "roles",
        min_length=1,
        description="Claim that holds the roles (viewer, editor, admin); a dotted path for nested claims.",
    )
    jwt_keys_seconds: float = Field(3600.0, gt=0, description="How long the issuer's keys are cached.")
    jwt_keys_pause_seconds: float = Field(
        10.0, gt=0, description="Minimum time between two requests for the issuer's keys."
    )
    dev_tokens: SecretStr = Field(
        SecretStr(""), description="Development tokens, as token=owner/role; accepted on loopback addresses only."
    )

    listen: str = Field(
        "127.0.0.1:50051",
        description="Address and port of the gRPC server; loopback only, unless authentication and TLS are configured.",
    )
    mtls_listen: str = Field(
        "",
        description="Second address and port, where clients must present a certificate; FACNET_LISTEN then does "
        "not require one.",
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
        if not _is_local(value):
            _check_exposed(info.data)
        return value

    @property
    def exposed(self) -> str | None:
        """The setting with an address that other machines can reach, if there is one."""
        addresses = {"listen": self.listen, "mtls_listen": self.mtls_listen}
        return next((name for name, address in addresses.items() if address and not _is_local(address)), None)


def _is_local(address: str) -> bool:
    return is_loopback(address.rpartition(":")[0].strip("[]"))


def _check_exposed(values: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless a server with these settings may be reached from other machines."""
    if values.get("dev_tokens") and values["dev_tokens"].get_secret_value():
        raise ValueError(
            "must be a loopback address, because FACNET_DEV_TOKENS is set: those are for trying things out"
        )
    if not values.get("jwt_jwks_url") and not values.get("mtls_subjects"):
        raise ValueError(
            "must be a loopback address, because no authentication is configured: anybody who reaches the port would "
            "read health data. Set FACNET_JWT_JWKS_URL or FACNET_MTLS_SUBJECTS"
        )
    if not values.get("tls_cert") and not values.get("tls_elsewhere"):
        raise ValueError(
            "must be a loopback address, because health data and tokens would travel in the clear. Set FACNET_TLS_CERT "
            "and FACNET_TLS_KEY, or FACNET_TLS_ELSEWHERE if a proxy in front ends TLS"
        )
