"""How errors are reported: a sentence, a cure, a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import typer
from rich.text import Text

from facnet_cli.errors import ExitCode, Problem
from facnet_cli.output import console, to_json
from facnet_cli.texts import Texts, printable
from facnet_client.errors import (
    Conflict,
    CorruptData,
    FacnetError,
    InvalidRequest,
    NotFound,
    Refused,
    Unavailable,
    UploadLost,
)
from facnet_client.values import RunError

_CODES: dict[type[FacnetError], ExitCode] = {
    InvalidRequest: ExitCode.BAD_INPUT,
    NotFound: ExitCode.BAD_INPUT,
    Conflict: ExitCode.BAD_INPUT,
    CorruptData: ExitCode.BAD_INPUT,
    Unavailable: ExitCode.UNREACHABLE,
    UploadLost: ExitCode.UNREACHABLE,
    Refused: ExitCode.REFUSED,
}
# Reasons that the client library or gRPC gives, not the server: the catalogue has their texts.
_LOCAL_REASONS = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "UPLOAD_LOST", "TOKEN_NEEDS_TLS"})
# Errors of the parser by the name of their class (the classes are not public), and the key of their text.
_USAGE = {
    "NoSuchOption": "usage.no_such_option",
    "BadOptionUsage": "usage.bad_option_usage",
    "MissingParameter": "usage.missing_parameter",
    "BadParameter": "usage.bad_parameter",
}
_EXTRA_ARGUMENT = "Got unexpected extra argument(s)"


class Reporter:
    """Prints errors on standard error, as text or as JSON, and returns the exit code of each."""

    def __init__(self, texts: Texts, *, as_json: bool, server: str) -> None:
        self._texts = texts
        self._as_json = as_json
        self._server = server

    def report(self, error: Exception) -> int:
        """Report any error. With FACNET_DEBUG=1, an error that no case below expects is raised again."""
        match error:
            case Problem():
                return self._problem(error)
            case typer.TyperException():
                return self._usage(error)
            case FacnetError():
                return self._call(error)
            case OSError():
                return self._file(error)
        if os.environ.get("FACNET_DEBUG") == "1":
            raise error
        return self._problem(Problem("bug", ExitCode.BUG, kind=type(error).__name__))  # its text may hold data

    def run_failed(self, error: RunError) -> ExitCode:
        """Report why a run failed."""
        self._print(error.code, error.message, error.cure)
        return ExitCode.RUN_FAILED

    def _problem(self, problem: Problem) -> int:
        key = f"problem.{problem.key}"
        cure = self._texts.find(f"{key}.cure", **problem.values)
        self._print(problem.key.upper(), self._texts(key, **problem.values), cure)
        return problem.code

    def _call(self, error: FacnetError) -> int:
        message, cure = error.message, error.cure
        if error.reason in _LOCAL_REASONS:
            key = f"problem.{error.reason.lower()}"
            message, cure = self._texts(key, server=self._server), self._texts.find(f"{key}.cure")
        self._print(error.reason, message, cure, {"request_id": error.request_id} if error.request_id else {})
        return _CODES.get(type(error), ExitCode.BUG)

    def _file(self, error: OSError) -> int:
        name = printable(str(error.filename or ""))
        key = "file_not_found" if isinstance(error, FileNotFoundError) else "file"
        reason = error.strerror or type(error).__name__
        return self._problem(Problem(key, ExitCode.BAD_INPUT, name=name, reason=reason))

    def _usage(self, error: typer.TyperException) -> int:
        if type(error).__name__ == "NoArgsIsHelpError":
            return ExitCode.USAGE  # the help was printed
        context = getattr(error, "ctx", None)
        cure = self._texts("usage.cure", command=context.command_path if context else "facnet")
        self._print("USAGE", self._usage_text(error), cure)
        return ExitCode.USAGE

    def _usage_text(self, error: typer.TyperException) -> str:
        """Return what was wrong in the reader's language; the parser's own messages are English."""
        kind = type(error).__name__
        if kind not in _USAGE:
            extra = error.message.partition(_EXTRA_ARGUMENT)[2].strip("() ")
            return self._texts("usage.extra", name=printable(extra)) if extra else error.message
        parameter = getattr(error, "param", None)
        name = getattr(error, "option_name", None) or (parameter.display_name_raw if parameter else "")
        wanted = ""
        if parameter is not None:
            wanted = parameter.metavar or parameter.display_type(getattr(error, "ctx", None))
            name = next(iter(parameter.opts), name) if parameter.param_type_name == "option" else name
        return self._texts(_USAGE[kind], name=printable(name), wanted=wanted)

    def _print(self, reason: str, message: str, cure: str | None, details: Mapping[str, str] | None = None) -> None:
        details = details or {}
        if self._as_json:
            error = {"reason": reason, "message": message, "cure": cure or None, **details}
            sys.stderr.write(to_json({"error": error}) + "\n")
            return
        out = console(sys.stderr)
        out.print(Text.assemble((self._texts("problem.word"), "bold red"), " ", message, (f"  [{reason}]", "dim")))
        for line in filter(None, [cure, *(f"{name}: {value}" for name, value in details.items())]):
            out.print(f"  {line}")
