"""What goes wrong in the command line itself, and how every error is told: a sentence, a cure, a code."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import typer
from rich.text import Text

from facnet_cli.exits import ExitCode, exit_code
from facnet_cli.output import console, printable, to_json
from facnet_cli.texts import Texts
from facnet_client.errors import FacnetError, Unavailable, UploadLost
from facnet_client.values import RunError

# What the parser raises, by the name of the class, since the classes are not public; and what its text is made of.
_USAGE = {
    "NoSuchOption": "usage.no_such_option",
    "BadOptionUsage": "usage.bad_option_usage",
    "MissingParameter": "usage.missing_parameter",
    "BadParameter": "usage.bad_parameter",
}


_EXTRA = "Got unexpected extra argument(s)"


class Problem(Exception):
    """An error of the command line itself: the key of its texts, and what they are made of."""

    def __init__(self, key: str, code: ExitCode, **values: object) -> None:
        """Make a problem whose texts are `problem.<key>` and, if there is one, `problem.<key>.cure`."""
        super().__init__(key)
        self.key = key
        self.code = code
        self.values = values


class Reporter:
    """Tells errors on standard error, as text or as JSON, and says which code to leave with."""

    def __init__(self, texts: Texts, *, as_json: bool, server: str) -> None:
        self._texts = texts
        self._as_json = as_json
        self._server = server

    def problem(self, problem: Problem) -> int:
        """Tell a problem of the command line itself."""
        cure_key = f"problem.{problem.key}.cure"
        cure = self._texts(cure_key, **problem.values)
        message = self._texts(f"problem.{problem.key}", **problem.values)
        self._tell(problem.key.upper(), message, None if cure == cure_key else cure)
        return problem.code

    def call(self, error: FacnetError) -> int:
        """Tell an error of a call."""
        message, cure = error.message, error.cure
        if isinstance(error, UploadLost) or (isinstance(error, Unavailable) and error.reason in _STATUS_NAMES):
            key = error.reason.lower()  # nobody gave these a text in the reader's language
            message = self._texts(f"problem.{key}", server=self._server)
            cure = self._texts(f"problem.{key}.cure")
        self._tell(error.reason, message, cure, {"request_id": error.request_id} if error.request_id else {})
        return exit_code(error)

    def run(self, error: RunError) -> int:
        """Tell why a run failed."""
        self._tell(error.code, error.message, error.cure)
        return ExitCode.RUN_FAILED

    def file(self, error: OSError) -> int:
        """Tell that a file cannot be read or written."""
        name = printable(str(error.filename or ""))
        key = "file_not_found" if isinstance(error, FileNotFoundError) else "file"
        return self.problem(Problem(key, ExitCode.BAD_INPUT, name=name, why=error.strerror or type(error).__name__))

    def usage(self, error: typer.TyperException) -> int:
        """Tell that a command was not understood."""
        if type(error).__name__ == "NoArgsIsHelpError":
            return ExitCode.USAGE  # the help was printed
        context = getattr(error, "ctx", None)
        cure = self._texts("usage.cure", command=context.command_path if context else "facnet")
        self._tell("USAGE", self._usage_text(error), cure)
        return ExitCode.USAGE

    def bug(self, error: Exception) -> int:
        """Tell that this program did something wrong: the class of the error, which holds no data."""
        return self.problem(Problem("bug", ExitCode.BUG, kind=type(error).__name__))

    def _usage_text(self, error: typer.TyperException) -> str:
        """Return what was wrong, in the reader's language: the parser speaks English only."""
        kind = type(error).__name__
        if kind not in _USAGE:
            extra = error.message.partition(_EXTRA)[2].strip("() ")
            return self._texts("usage.extra", name=printable(extra)) if extra else error.message
        parameter = getattr(error, "param", None)
        name = getattr(error, "option_name", None) or (parameter.display_name_raw if parameter else "")
        wanted = ""
        if parameter is not None:
            wanted = parameter.metavar or parameter.display_type(getattr(error, "ctx", None))
            name = next(iter(parameter.opts), name) if parameter.param_type_name == "option" else name
        return self._texts(_USAGE[kind], name=printable(name), wanted=wanted)

    def _tell(self, reason: str, message: str, cure: str | None, more: Mapping[str, str | None] | None = None) -> None:
        if self._as_json:
            told = {"reason": reason, "message": message, "cure": cure or None, **(more or {})}
            sys.stderr.write(to_json({"error": told}) + "\n")
            return
        line = Text.assemble((self._texts("problem.word"), "bold red"), " ", message, (f"  [{reason}]", "dim"))
        out = console(stderr=True)
        out.print(line)
        for extra in filter(None, [cure, *(f"{name}: {value}" for name, value in (more or {}).items())]):
            out.print(f"  {extra}")


_STATUS_NAMES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
