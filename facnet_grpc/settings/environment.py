"""What all groups of settings share: the names of environment variables, the error, and the reading of lists."""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import BaseModel, ConfigDict

MIB = 1 << 20
GIB = 1 << 30


class SettingsError(Exception):
    """One line per setting that is missing or wrong; never a value, which may be a password."""


class SettingsGroup(BaseModel):
    """The settings of one part of the product. Each part receives only its group."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return name.upper() if name in {"database_url", "redis_url"} else f"FACNET_{name.upper()}"


def listed(value: str) -> list[str]:
    """Return the parts of a comma-separated list."""
    return [part for part in map(str.strip, value.split(",")) if part]


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine, as far as its name tells."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
