"""The root command: the commands by name, the options that work everywhere, and what happens with errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from facnet_cli.errors import ExitCode
from facnet_cli.localize import LocalizedCommand, LocalizedGroup, localized
from facnet_cli.options import DEFAULT_SERVER
from facnet_cli.texts import Texts

if TYPE_CHECKING:
    from facnet_cli.system import System

# Options of the root command that may stand anywhere: those with a value, and those without.
_OPTIONS = ("--server", "--lang", "--ca", "--cert", "--key", "--token-file")
_FLAGS = ("--json", "--tls")

# Each command's function, as `module:function`: a module is imported when its command is called.
COMMANDS: Mapping[str, str] = {
    "run": "submit:run",
    "submit": "submit:submit",
    "watch": "submit:watch",
    "list": "runs:list_",
    "show": "runs:show",
    "results": "results:results",
    "rejects": "results:rejects",
    "revalidate": "results:revalidate",
    "records": "results:records",
    "logs": "results:logs",
    "export": "results:export",
    "batch": "runs:batch",
    "cancel": "runs:cancel",
    "retry": "runs:retry",
    "delete": "runs:delete",
    "top": "top:top",
    "login": "login:login",
    "logout": "login:logout",
    "dev": "local:forward",
    "serve": "local:forward",
    "worker": "local:forward",
    "migrate": "local:forward",
    "doctor": "local:forward",
    "purge": "operations:purge",
    "inspect": "local:inspect",
    "sample": "local:sample",
}
GROUPS: Mapping[str, Mapping[str, str]] = {
    "rules": {
        "list": "rules:list_",
        "show": "rules:show",
        "validate": "rules:validate",
        "test": "rules:test",
    },
    "failed": {"list": "operations:failed", "replay": "operations:replay"},
    "reference": {
        "show": "reference:show",
        "codes": "reference:codes",
        "establishments": "reference:establishments",
        "import": "reference:import_",
        "diff": "reference:diff",
    },
}


def build_app(texts: Texts, system: System | None = None) -> typer.Typer:
    """Return the whole command line in the language of `texts`; `system` is the real one by default."""
    members: dict[str, Callable[[], TyperCommand | TyperGroup]] = {
        name: partial(_command, name, function, texts) for name, function in COMMANDS.items()
    }
    members |= {name: partial(_group, name, functions, texts) for name, functions in GROUPS.items()}
    app = typer.Typer(
        name="facnet",
        cls=localized(_Root, texts, members=members, path="help."),
        help="help.facnet",
        epilog=_epilog(texts),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root(texts, system))
    return app


def _command(path: str, function: str, texts: Texts) -> TyperCommand | TyperGroup:
    """Import one command; `path` is its name, after that of its group and a dot if it is in one."""
    module, _, name = function.partition(":")
    forwarding = name == "forward"  # its arguments are for the service's own parser
    app = typer.Typer(add_completion=False)
    app.command(
        path.rpartition(".")[2],
        cls=localized(LocalizedCommand, texts),
        help=f"help.{path}",
        epilog=texts("help.everywhere"),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True} if forwarding else {},
    )(getattr(import_module(f"facnet_cli.{module}"), name))
    command: TyperCommand | TyperGroup = get_command(app)  # type: ignore[assignment]  # typed as their base class
    return command


def _group(name: str, functions: Mapping[str, str], texts: Texts) -> TyperGroup:
    members = {member: partial(_command, f"{name}.{member}", function, texts) for member, function in functions.items()}
    kind = localized(LocalizedGroup, texts, members=members, path=f"help.{name}.")
    return kind(name=name, help=f"help.{name}", no_args_is_help=True)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - called by the parser
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow, and only needed here

        try:
            found = version("facnet-client")
        except PackageNotFoundError:  # the distribution of the server contains the command line as well
            found = version("facnet-grpc")
        sys.stdout.write(f"facnet {found}\n")
        raise typer.Exit


def _root(texts: Texts, system: System | None) -> Callable[..., None]:
    def root(  # noqa: PLR0913 - one for each option
        context: typer.Context,
        *,
        server: Annotated[
            str | None, typer.Option(help="help.server", metavar="metavar.server", envvar="FACNET_SERVER")
        ] = None,
        lang: Annotated[Literal["fr", "en"] | None, typer.Option(help="help.lang")] = None,
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
        # Neither --help nor --version comes here, and both answer without gRPC.
        from facnet_cli.credentials import Credentials  # noqa: PLC0415 - imports gRPC
        from facnet_cli.session import Session  # noqa: PLC0415 - likewise
        from facnet_cli.system import System  # noqa: PLC0415 - imports rich

        del lang, version  # `main` has read the language, and the version has its callback
        credentials = Credentials(tls=tls, ca=ca, cert=cert, key=key, token_file=token_file)
        context.obj = Session(texts, server or None, json, credentials, system or System())

    return root


def _epilog(texts: Texts) -> str:
    codes = " · ".join(f"{code.value} {texts(f'exit.{code.name.lower()}')}" for code in ExitCode)
    return "\n\n".join([texts("help.exit_codes", codes=codes), texts("help.environment")])


class _Root(LocalizedGroup):
    """The root command: every call ends with an exit code and never with a traceback."""

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
        arguments = global_options_first(sys.argv[1:] if args is None else args)
        try:
            returned = super().main(arguments, prog_name, complete_var, False, windows_expand_args, **extra)
            code = returned if isinstance(returned, int) else ExitCode.OK
        except Exception as error:  # noqa: BLE001 - each kind is reported in its own way
            from facnet_cli.report import Reporter  # noqa: PLC0415 - imports gRPC

            reporter = Reporter(self.texts, as_json="--json" in arguments, server=_server(arguments))
            code = reporter.report(error)
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        """Run the command and flush its output. It is no error if the reader has closed the pipe."""
        try:
            returned = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
            raise typer.Exit(ExitCode.BROKEN_PIPE) from None
        return returned


def global_options_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the options that work everywhere moved to the front, where the root reads them."""
    first: list[str] = []
    rest: list[str] = []
    words = list(arguments)
    while words and words[0] != "--":
        word = words.pop(0)
        if word in _OPTIONS and words:
            first += [word, words.pop(0)]
        elif word in _FLAGS or word.startswith(tuple(f"{option}=" for option in _OPTIONS)):
            first.append(word)
        else:
            rest.append(word)
    return first + rest + words


def _server(arguments: Sequence[str]) -> str:
    named = [arguments[position + 1] for position, word in enumerate(arguments[:-1]) if word == "--server"]
    named += [word.partition("=")[2] for word in arguments if word.startswith("--server=")]
    return next(iter(named), "") or os.environ.get("FACNET_SERVER") or DEFAULT_SERVER


def _discard_output() -> None:
    """Send what is still buffered to the null device: otherwise Python reports a broken pipe when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
