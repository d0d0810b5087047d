"""Commands and groups whose help is in the reader's language: until it is shown, a help text is a key of the catalogue.

A group knows its commands by name and imports one when it is called. Its own help needs names and texts only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from typer.core import TyperCommand, TyperGroup

from facnet_cli.texts import Texts, printable

_KEYS = ("help.", "metavar.")
# Names of typer's own words in its module `rich_utils`.
_TITLES = {
    "OPTIONS_PANEL_TITLE": "title.options",
    "ARGUMENTS_PANEL_TITLE": "title.arguments",
    "COMMANDS_PANEL_TITLE": "title.commands",
    "DEFAULT_STRING": "title.default",
    "ENVVAR_STRING": "title.environment",
    "REQUIRED_LONG_STRING": "title.required",
}


class _Localized:
    """The part that commands and groups share."""

    texts: ClassVar[Texts]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        this: Any = self
        this.help = _text(self.texts, this.help)
        this.options_metavar = self.texts("metavar.options")
        for parameter in this.params:
            parameter.help = _text(self.texts, parameter.help)
            parameter.metavar = "" if getattr(parameter, "is_flag", False) else _text(self.texts, parameter.metavar)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write the line that shows how to call the command."""
        pieces = " ".join(self.collect_usage_pieces(ctx))  # type: ignore[attr-defined]  # of the class beside this one
        formatter.write_usage(ctx.command_path, pieces, prefix=self.texts("title.usage"))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with typer's own words in the reader's language."""
        from typer import rich_utils  # noqa: PLC0415 - slow to import, and only help needs it

        for title, key in _TITLES.items():
            setattr(rich_utils, title, self.texts(key))
        super().format_help(ctx, formatter)  # type: ignore[misc]  # of the class beside this one

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option, with its text in the reader's language."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # of the class beside this one
        if option is not None:
            option.help, option.metavar = self.texts("help.help"), ""
        return option


class LocalizedCommand(_Localized, TyperCommand):
    """A command whose help is in the reader's language."""


class LocalizedGroup(_Localized, TyperGroup):
    """A group whose help is in the reader's language, and whose commands are made when they are called."""

    members: ClassVar[Mapping[str, Callable[[], TyperCommand | TyperGroup]]]
    path: ClassVar[str]  # of the keys of the members' help: "help." or "help.rules."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subcommand_metavar = self.texts("metavar.command")
        self._shows_help = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as the base class has it
        """Return the names of the commands, in the order of the help."""
        return list(self.members)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - likewise
        """Return a command; while the help is written, its name and help text only."""
        if cmd_name not in self.members:
            return None
        if self._shows_help:
            return TyperCommand(cmd_name, help=self.texts(f"{self.path}{cmd_name}"))
        return self.members[cmd_name]()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing the commands."""
        self._shows_help = True
        super().format_help(ctx, formatter)
        self._shows_help = False

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first argument names. Fails with the most similar name if there is none."""
        if not args[0].startswith("-") and args[0] not in self.members:
            near = get_close_matches(args[0], self.members, n=1)
            hint = self.texts("usage.did_you_mean", name=near[0]) if near else ""
            ctx.fail(" ".join(filter(None, [self.texts("usage.no_such_command", name=printable(args[0])), hint])))
        return super().resolve_command(ctx, args)


_Class = TypeVar("_Class", bound=_Localized)


def localized(kind: type[_Class], texts: Texts, **attributes: object) -> type[_Class]:
    """Return the class `kind` for one language, with these class attributes."""
    return type(kind.__name__, (kind,), {"texts": texts, **attributes})


def _text(texts: Texts, key: str | None) -> str | None:
    return texts(key) if key is not None and key.startswith(_KEYS) else key
