"""One call of the program: its language, its server, and the form of its output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeVar

import typer
from rich.console import Console, RenderableType

from facnet_cli.credentials import Credentials
from facnet_cli.options import DEFAULT_SERVER
from facnet_cli.output import print_json
from facnet_cli.report import Reporter
from facnet_cli.system import System
from facnet_cli.tables import Columns, header, line
from facnet_cli.texts import Texts, printable
from facnet_client.client import FacnetClient

_Row = TypeVar("_Row")


@dataclass
class Session:
    """The options of the root command, and how commands print."""

    texts: Texts
    server: str | None  # of --server or FACNET_SERVER
    as_json: bool
    credentials: Credentials
    system: System

    @property
    def target(self) -> str:
        """The address of the server: the one that was given, or the default."""
        return self.server or DEFAULT_SERVER

    @cached_property
    def out(self) -> Console:
        """Standard output, for people."""
        return self.system.console(sys.stdout)

    @cached_property
    def reporter(self) -> Reporter:
        """Reports errors on standard error."""
        return Reporter(self.texts, as_json=self.as_json, server=self.target)

    def client(self, target: str | None = None, *, token: str | None = None) -> FacnetClient:
        """Return a client of the session's server, or of `target`: an embedded stack, which has no TLS.

        Raises `Problem`, `OSError`, `FacnetError`.
        """
        server = target or self.target
        return FacnetClient(
            server,
            language=self.texts.language,
            credentials=None if target else self.credentials.channel(),
            token=token or self.credentials.token(server),
        )

    def say(self, key: str, **values: object) -> None:
        """Print a text of the catalogue."""
        self.print([self.texts(key, **values)])

    def print(self, parts: Iterable[RenderableType]) -> None:
        """Print parts for people, each on lines of its own; control characters of plain text are replaced."""
        for part in parts:
            self.out.print(printable(part) if isinstance(part, str) else part)

    def answer(self, data: object, parts: Iterable[RenderableType]) -> None:
        """Print the answer of a command: `data` as JSON, or `parts` for people."""
        if self.as_json:
            print_json(data)
        else:
            self.print(parts)

    def print_rows(
        self,
        rows: Iterable[_Row],
        columns: Columns[_Row],
        *,
        empty: str,
        limit: int | None = None,
        details: Callable[[_Row, Texts], Iterable[RenderableType]] = lambda _row, _texts: (),
        flush: bool = False,
    ) -> None:
        """Print rows as they arrive, at most `limit`: JSON Lines, or a line of columns and the row's `details`.

        For people, the text `empty` is printed if there are none, and a terminal gets a line of titles first. With
        `flush`, a reader sees each row before the next one arrives.
        """
        count = 0
        for count, row in enumerate(islice(rows, limit), start=1):
            if self.as_json:
                print_json(row)
            else:
                if count == 1 and self.system.is_terminal(sys.stdout):
                    self.print([header(columns, self.texts)])
                self.print((line(columns, row, self.texts), *details(row, self.texts)))
            if flush:
                self.out.file.flush()
        if not count and not self.as_json:
            self.say(empty)


def get_session(context: typer.Context) -> Session:
    """Return the session of a command."""
    session = context.find_root().obj
    if not isinstance(session, Session):
        raise TypeError("the root command makes the session")
    return session
