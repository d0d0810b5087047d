"""Settings of notifications: webhooks and e-mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.settings.environment import SettingsGroup, listed
from facnet_grpc.settings.keys import Keys

EVERYBODY = "*"  # the owner that stands for all who are not named
HTTPS_PORT = 443
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>\d{1,5}|\*))?")
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host that webhooks may go to, and the port; None: any."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host`, `host:port` or `host:*`. Raises `ValueError`."""
        found = _HOST.fullmatch(text.lower())
        if found is None:
            raise ValueError("needs hosts as host or host:port, in ASCII, separated by commas")
        port = found["port"] or str(HTTPS_PORT)
        return cls(found["host"].strip("[]"), None if port == "*" else int(port))


class NotifySettings(SettingsGroup):
    """Webhooks and e-mail. Both are off until somebody says where they may go."""

    # Before `webhook_hosts`, which depends on it.
    webhook_keys: SecretStr | None = Field(
        None,
        description="Secret that signs webhooks, or id:secret; at least 32 characters. Older ones may follow, "
        "separated by commas: each signs as well, until receivers know the new one.",
    )
    webhook_hosts: str = Field(
        "",
        description="Hosts that webhooks may be sent to, with :port if it is not 443 (:* for any); empty: "
        "webhooks are refused.",
    )
    webhook_networks: str = Field(
        "", description="Private networks that webhooks may be sent to, for example 10.20.0.0/16."
    )
    webhook_loopback: bool = Field(
        False, description="Allow webhooks to this machine, also over plain http; for tests."
    )
    webhook_source: str = Field(
        "urn:facnet", min_length=1, description="Source of the CloudEvents: a URI that identifies this deployment."
    )
    webhook_timeout_seconds: float = Field(10.0, gt=0, le=30, description="Time limit for one delivery of a webhook.")
    smtp_host: str = Field("", description="Mail server; empty: no e-mail is sent.")
    smtp_port: int = Field(587, gt=0, le=65535, description="Port of the mail server.")
    smtp_user: str = Field("", description="User name for the mail server; empty: no authentication.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password for the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="Encryption of the connection to the mail server; none is allowed only without a password.",
    )
    smtp_from: str = Field("", validate_default=True, description="Sender address of e-mail.")
    smtp_timeout_seconds: float = Field(10.0, gt=0, le=30, description="Time limit for each answer of the mail server.")
    mail_to: str = Field(
        "",
        description="Recipients by owner, as owner=address address,…; the owner * stands for all others.",
    )
    mail_language: Literal["fr", "en"] = Field("fr", description="Language of e-mail.")
    mail_link: str = Field(
        "", description="URL of a page about a run, containing {validation_id}, to include in e-mail; empty: none."
    )
    notify_give_up_seconds: float = Field(
        DAY_SECONDS, gt=0, description="How long the delivery of a notification is retried."
    )
    notify_retention_days: int = Field(
        7, gt=0, description="Number of days that delivered and abandoned notifications are kept."
    )

    @field_validator("webhook_keys")
    @classmethod
    def _signing(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if any(key.id == "t" for key in Keys.parse(value.get_secret_value()).all):
            raise ValueError("t is the time of a signature: give the key another name")
        return value

    @field_validator("webhook_hosts")
    @classmethod
    def _hosts(cls, value: str, info: ValidationInfo) -> str:
        for part in listed(value):
            AllowedHost.parse(part)
        if value and not info.data.get("webhook_keys"):
            raise ValueError("webhooks are signed: set FACNET_WEBHOOK_KEYS")
        return value

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in listed(value):
            ip_network(part)
        return value

    @field_validator("smtp_security")
    @classmethod
    def _no_password_in_clear(cls, value: str, info: ValidationInfo) -> str:
        password: SecretStr | None = info.data.get("smtp_password")
        if value == "none" and password and password.get_secret_value():
            raise ValueError("a password needs starttls or tls")
        return value

    @field_validator("smtp_from")
    @classmethod
    def _sender(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("smtp_host") and not _ADDRESS.fullmatch(value):
            raise ValueError("needs an address such as facnet@example.org")
        return value

    @field_validator("mail_to")
    @classmethod
    def _recipients(cls, value: str, info: ValidationInfo) -> str:
        _by_owner(value)
        if value and not info.data.get("smtp_host"):
            raise ValueError("nobody takes the e-mail: set FACNET_SMTP_HOST")
        return value

    @field_validator("mail_link")
    @classmethod
    def _template(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or "{validation_id}" not in value):
            raise ValueError("needs an http(s) address with {validation_id} in it")
        return value

    @cached_property
    def allowed_hosts(self) -> frozenset[AllowedHost]:
        """Where webhooks may go."""
        return frozenset(map(AllowedHost.parse, listed(self.webhook_hosts)))

    @cached_property
    def allowed_networks(self) -> tuple[Network, ...]:
        """Private networks that webhooks may go to."""
        return tuple(map(ip_network, listed(self.webhook_networks)))

    @cached_property
    def signing_keys(self) -> Keys | None:
        """The keys that webhooks are signed with, all of them."""
        return Keys.parse(self.webhook_keys.get_secret_value()) if self.webhook_keys else None

    @cached_property
    def _mail_by_owner(self) -> Mapping[str, tuple[str, ...]]:
        return _by_owner(self.mail_to)

    def recipients(self, owner: str) -> tuple[str, ...]:
        """Return who hears of an owner's runs by e-mail; nobody if none is sent."""
        return self._mail_by_owner.get(owner, self._mail_by_owner.get(EVERYBODY, ()))


def _by_owner(value: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for part in listed(value):
        owner, _, addresses = part.rpartition("=")
        found[owner.strip()] = tuple(addresses.split())
        if not owner.strip() or not addresses.split() or not all(map(_ADDRESS.fullmatch, addresses.split())):
            raise ValueError("needs owners and addresses as owner=a@example.org b@example.org,*=c@example.org")
    return found
