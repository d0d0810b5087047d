"""The settings page: every setting with its default and description, by group."""

from __future__ import annotations

from docs_markdown import head, table
from pydantic.fields import FieldInfo

from facnet_grpc.settings import groups
from facnet_grpc.settings.environment import GIB, MIB, variable

TITLES = {
    "server": "Server",
    "access": "Network and authentication",
    "uploads": "Uploads",
    "storage": "Storage and encryption",
    "worker": "Workers",
    "queue": "Scheduling, leases and retries",
    "rules": "Rules",
    "schedule": "Periodic jobs and retention",
    "notify": "Notifications",
    "process": "All processes",
}


def page() -> str:
    """Return the page: required settings first, then optional ones. Raises `ValueError` if a group has no title."""
    fields = groups()
    required = [item for group in fields.values() for item in group.items() if item[1].is_required()]
    lines = [
        *head("Settings", "`facnet_grpc/settings/`"),
        "Servers and workers read their settings from the environment once, at start, and report all problems at",
        "once. Use the same settings for all processes of a deployment.",
        "",
        "## Required",
        "",
        *table(("Variable", "Description"), ((_variable(name), item.description or "") for name, item in required)),
    ]
    for name in sorted(fields, key=list(TITLES).index):
        rows = [
            (_variable(setting), _default(item), item.description or "")
            for setting, item in fields[name].items()
            if not item.is_required()
        ]
        lines += [f"## {TITLES[name]}", "", *table(("Variable", "Default", "Description"), rows)]
    return "\n".join(lines)


def _default(item: FieldInfo) -> str:
    value = item.default
    if isinstance(value, int) and not isinstance(value, bool):
        for name, unit in (("GiB", GIB), ("MiB", MIB)):
            if value and value % unit == 0:
                return f"`{value}` ({value // unit} {name})"
    return f"`{value}`" if str(value) and value is not None else ""


def _variable(name: str) -> str:
    return f"`{variable(name)}`"
