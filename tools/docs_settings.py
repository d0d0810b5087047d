"""The settings page: every setting with its sentence."""

from __future__ import annotations

from docs_markdown import head, table
from pydantic.fields import FieldInfo

from facnet_grpc.settings import groups
from facnet_grpc.settings.environment import GIB, MIB, variable


def page() -> str:
    """Return the page: the settings without a default, then the others by group."""
    fields = [field for group in groups().values() for field in group.items()]
    needed = [(_code(variable(name)), item.description or "") for name, item in fields if item.is_required()]
    others = [
        (_code(variable(name)), _default(item), item.description or "")
        for name, item in fields
        if not item.is_required()
    ]
    return "\n".join(
        [
            *head("Settings", "`facnet_grpc/settings/`"),
            "The server and the workers read them from the environment, once, at start; what is wrong is said all at",
            "once. Give both the same ones.",
            "",
            "## Needed",
            "",
            *table(("Variable", "What"), needed),
            "## With a default",
            "",
            *table(("Variable", "Default", "What"), others),
        ],
    )


def _default(item: FieldInfo) -> str:
    value = item.default
    if isinstance(value, int) and not isinstance(value, bool):
        for name, unit in (("GiB", GIB), ("MiB", MIB)):
            if value and value % unit == 0:
                return f"{_code(str(value))} ({value // unit} {name})"
    return "" if value is None else _code(str(value))


def _code(text: str) -> str:
    return f"`{text}`"
