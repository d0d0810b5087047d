"""The command line put together: commands, options that work everywhere, and the one place where errors end up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from facnet_cli import (
    batch,
    control,
    export,
    failed,
    listing,
    local,
    login,
    purge,
    records,
    results,
    revalidate,
    rules,
    run,
    submit,
    top,
)
from facnet_cli import reference as references
from facnet_cli.access import Access
from facnet_cli.exits import ExitCode
from facnet_cli.localize import LocalizedCommand, LocalizedGroup, localized
from facnet_cli.problem import Problem, Reporter
from facnet_cli.session import DEFAULT_SERVER, Session
from facnet_cli.texts import Texts
from facnet_client.errors import FacnetError

# Options of the root that may stand anywhere: those with a value, and those without.
_VALUED = ("--server", "--lang", "--ca", "--cert", "--key", "--token-file")
_FLAGS = ("--json", "--tls")

COMMANDS: Sequence[tuple[str, Callable[..., None], dict[str, Any]]] = (
    ("run", run.run, {}),
    ("submit", submit.submit, {}),
    ("watch", submit.watch, {}),
    ("list", listing.list_, {}),
    ("show", listing.show, {}),
    ("results", results.results, {}),
    ("rejects", results.rejects, {}),
    ("revalidate", revalidate.revalidate, {}),
    ("records", records.records, {}),
    ("logs", records.logs, {}),
    ("export", export.export, {}),
    ("batch", batch.batch, {}),
    ("cancel", control.cancel, {}),
    ("retry", control.retry, {}),
    ("delete", control.delete, {}),
    ("top", top.top, {}),
    ("login", login.login, {}),
    ("logout", login.logout, {}),
    ("dev", local.dev, local.PASSED_ON),
    ("serve", local.serve, local.PASSED_ON),
    ("worker", local.worker, local.PASSED_ON),
    ("migrate", local.migrate, local.PASSED_ON),
    ("doctor", local.doctor, local.PASSED_ON),
    ("purge", purge.purge, {}),
    ("inspect", local.inspect, {}),
    ("sample", local.sample, {}),
)
# Commands of a command.
GROUPS: Mapping[str, Sequence[tuple[str, Callable[..., None]]]] = {
    "rules": (("list", rules.list_), ("show", rules.show), ("validate", rules.validate), ("test", rules.test)),
    "failed": (("list", failed.list_), ("replay", failed.replay)),
    "reference": (
        ("show", references.show),
        ("codes", references.codes),
        ("establishments", references.establishments),
        ("import", references.import_),
        ("diff", references.diff),
    ),
}


class _Language(StrEnum):
    FR = "fr"
    EN = "en"


def build_app(texts: Texts) -> typer.Typer:
    """Return the whole command line in the language of `texts`."""
    app = typer.Typer(
        name="facnet",
        cls=localized(_Root, texts),
        help="help.facnet",
        epilog=_epilog(texts),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root(texts))
    for name, function, settings in COMMANDS:
        app.command(
            name,
            cls=localized(LocalizedCommand, texts),
            help=f"help.{name}",
            epilog=texts("help.everywhere"),
            context_settings=dict(settings),
        )(function)
    for name, members in GROUPS.items():
        app.add_typer(_group(name, members, texts), name=name)
    return app


def _group(name: str, members: Sequence[tuple[str, Callable[..., None]]], texts: Texts) -> typer.Typer:
    group = typer.Typer(cls=localized(LocalizedGroup, texts), help=f"help.{name}", no_args_is_help=True)
    for word, function in members:
        group.command(
            word,
            cls=localized(LocalizedCommand, texts),
            help=f"help.{name}.{word}",
            epilog=texts("help.everywhere"),
        )(function)
    return group


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - called by the parser
    if wanted:
        sys.stdout.write(f"facnet {version('facnet-grpc')}\n")
        raise typer.Exit


def _root(texts: Texts) -> Callable[..., None]:
    def root(  # noqa: PLR0913 - one for each option
        context: typer.Context,
        *,
        server: Annotated[
            str | None, typer.Option(help="help.server", metavar="metavar.server", envvar="FACNET_SERVER")
        ] = None,
        lang: Annotated[_Language | None, typer.Option(help="help.lang")] = None,
        json: Annotated[bool, typer.Option("--json", help="help.json")] = False,
        tls: Annotated[bool, typer.Option("--tls", help="help.tls", envvar="FACNET_TLS")] = False,
        ca: Annotated[Path | None, typer.Option(help="help.ca", metavar="metavar.file", envvar="FACNET_CA")] = None,
        cert: Annotated[
            Path | None, typer.Option(help="help.cert", metavar="metavar.file", envvar="FACNET_CERT")
        ] = None,
        key: Annotated[Path | None, typer.Option(help="help.key", metavar="metavar.file", envvar="FACNET_KEY")] = None,
        token_file: Annotated[
            Path | None, typer.Option(help="help.token_file", metavar="metavar.file", envvar="FACNET_TOKEN_FILE")
        ] = None,
        version: Annotated[
            bool, typer.Option("--version", help="help.version", is_eager=True, callback=_show_version)
        ] = False,
    ) -> None:
        del lang, version  # the one was looked at before this app was built, the other has its callback
        access = Access(tls=tls, ca=ca, cert=cert, key=key, token_file=token_file)
        context.obj = Session(texts, server or None, json, access)

    return root


def _epilog(texts: Texts) -> str:
    codes = " · ".join(f"{code.value} {texts(f'exit.{code.name.lower()}')}" for code in ExitCode)
    return "\n\n".join([texts("help.exit_codes", codes=codes), texts("help.environment")])


class _Root(LocalizedGroup):
    """The root command: ends every invocation with an exit code and never with a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - as the base class has it
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - likewise
        **extra: Any,
    ) -> Any:
        """Run the command in `args`, then exit. Without `standalone_mode` the code is returned."""
        arguments = everywhere_first(sys.argv[1:] if args is None else args)
        reporter = Reporter(self.texts, as_json="--json" in arguments, server=_server(arguments))
        parse = super().main

        def call() -> Any:
            return parse(arguments, prog_name, complete_var, False, windows_expand_args, **extra)

        code = _guarded(call, reporter)
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        """Run the command and push out what it printed. A reader who has gone is no error."""
        try:
            returned = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(ExitCode.BROKEN_PIPE) from None
        return returned


def everywhere_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with those that work everywhere in front, where the root command reads them."""
    first: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting and waiting[0] != "--":
        word = waiting.pop(0)
        if word in _VALUED and waiting:
            first += [word, waiting.pop(0)]
        elif word in _FLAGS or word.startswith(tuple(f"{option}=" for option in _VALUED)):
            first.append(word)
        else:
            rest.append(word)
    return first + rest + waiting


def _server(arguments: Sequence[str]) -> str:
    named = [arguments[position + 1] for position, word in enumerate(arguments[:-1]) if word == "--server"]
    named += [word.partition("=")[2] for word in arguments if word.startswith("--server=")]
    return next(iter(named), "") or os.environ.get("FACNET_SERVER") or DEFAULT_SERVER


def _guarded(call: Callable[[], Any], reporter: Reporter) -> int:
    try:
        returned = call()
    except typer.TyperException as error:
        return reporter.usage(error)
    except Problem as problem:
        return reporter.problem(problem)
    except FacnetError as error:
        return reporter.call(error)
    except OSError as error:
        return reporter.file(error)
    except Exception as error:
        if os.environ.get("FACNET_DEBUG") == "1":
            raise
        return reporter.bug(error)
    return returned if isinstance(returned, int) else ExitCode.OK


def _drop_output() -> None:
    """Send what is still in the buffer nowhere, or Python complains at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
