"""What every command needs to know: the language, the server, the form of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TypeVar

import typer
from rich.console import Console

from facnet_cli.access import Access
from facnet_cli.output import console, print_json
from facnet_cli.problem import Reporter
from facnet_cli.texts import Texts
from facnet_client.client import FacnetClient

DEFAULT_SERVER = "127.0.0.1:50051"

_Row = TypeVar("_Row")


@dataclass
class Session:
    """One invocation of the program."""

    texts: Texts
    server: str | None  # named by --server or FACNET_SERVER
    as_json: bool
    access: Access = field(default_factory=Access)

    @cached_property
    def out(self) -> Console:
        """Standard output, for people."""
        return console()

    @cached_property
    def reporter(self) -> Reporter:
        """Tells errors."""
        return Reporter(self.texts, as_json=self.as_json, server=self.server or DEFAULT_SERVER)

    def client(self, target: str | None = None, *, token: str | None = None) -> FacnetClient:
        """Return a client of `target`, or of the server that was named, or of the usual one.

        A `target` is a stack of one's own, which speaks in the clear. Raises `Problem`, `OSError`, `FacnetError`.
        """
        server = target or self.server or DEFAULT_SERVER
        return FacnetClient(
            server,
            language=self.texts.language,
            credentials=None if target else self.access.credentials(),
            token=token or self.access.token(server),
        )

    def print_each(
        self,
        rows: Iterable[_Row],
        line: Callable[[_Row], object],
        *,
        nothing: str,
        most: int | None = None,
        at_once: bool = False,
    ) -> None:
        """Print rows, `most` at most, as JSON or as `line` does; for people the text `nothing` where there are none.

        With `at_once`, whoever reads along sees each row before the next one is waited for.
        """
        empty = True
        for row in islice(rows, most):
            empty = False
            print_json(row) if self.as_json else line(row)
            if at_once:
                self.out.file.flush()
        if empty and not self.as_json:
            self.out.print(self.texts(nothing))


def session(context: typer.Context) -> Session:
    """Return the session of a command."""
    found = context.find_root().obj
    if not isinstance(found, Session):
        raise TypeError("the root command makes the session")
    return found
