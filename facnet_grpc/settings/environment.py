"""Settings as the environment has them: how they are named there, and what is raised if something is wrong."""

from __future__ import annotations


class SettingsError(Exception):
    """One line per setting that is missing or wrong; never a value, which may be a password."""


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return name.upper() if name in {"database_url", "redis_url"} else f"FACNET_{name.upper()}"
