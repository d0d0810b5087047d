"""Commands whose help is in the reader's language: help texts and names of values are keys until they are shown."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from typer.core import TyperCommand, TyperGroup

from facnet_cli.output import printable
from facnet_cli.texts import Texts

_KEYS = ("help.", "metavar.")
# Words that typer puts around ours.
_TITLES = {
    "OPTIONS_PANEL_TITLE": "title.options",
    "ARGUMENTS_PANEL_TITLE": "title.arguments",
    "COMMANDS_PANEL_TITLE": "title.commands",
    "DEFAULT_STRING": "title.default",
    "ENVVAR_STRING": "title.environment",
    "REQUIRED_LONG_STRING": "title.required",
}


class _Localized:
    """What commands and groups share."""

    texts: ClassVar[Texts]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        this: Any = self
        this.help = _text(self.texts, this.help)
        this.options_metavar = self.texts("metavar.options")
        for parameter in this.params:
            parameter.help = _text(self.texts, parameter.help)
            parameter.metavar = "" if _is_flag(parameter) else _text(self.texts, parameter.metavar)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write the line that says how to call the command."""
        pieces = " ".join(self.collect_usage_pieces(ctx))  # type: ignore[attr-defined]  # of the class beside this one
        formatter.write_usage(ctx.command_path, pieces, prefix=self.texts("title.usage"))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with typer's own words in the reader's language."""
        from typer import rich_utils  # noqa: PLC0415 - a tenth of a second that only help is worth

        for title, key in _TITLES.items():
            setattr(rich_utils, title, self.texts(key))
        super().format_help(ctx, formatter)  # type: ignore[misc]  # of the class beside this one

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option, with a help text of its own."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # of the class beside this one
        if option is not None:
            option.help, option.metavar = self.texts("help.help"), ""
        return option


class LocalizedCommand(_Localized, TyperCommand):
    """A command whose help is in the reader's language."""


class LocalizedGroup(_Localized, TyperGroup):
    """A group of commands whose help is in the reader's language."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subcommand_metavar = self.texts("metavar.command")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first argument names, or say that there is none."""
        if not args[0].startswith("-") and args[0] not in self.commands:
            near = get_close_matches(args[0], self.commands, n=1)
            cure = self.texts("usage.did_you_mean", name=near[0]) if near else ""
            ctx.fail(" ".join(filter(None, [self.texts("usage.no_such_command", name=printable(args[0])), cure])))
        return super().resolve_command(ctx, args)


_Class = TypeVar("_Class", bound=_Localized)


def localized(kind: type[_Class], texts: Texts) -> type[_Class]:
    """Return the class `kind` for one language."""
    return type(kind.__name__, (kind,), {"texts": texts})


def _is_flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False))


def _text(texts: Texts, key: str | None) -> str | None:
    return texts(key) if key is not None and key.startswith(_KEYS) else key
