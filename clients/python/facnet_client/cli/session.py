"""What every command needs to know: the language, the server, the form of the output."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import typer
from rich.console import Console

from facnet_client.cli.output import console
from facnet_client.cli.problem import Reporter
from facnet_client.cli.texts import Texts
from facnet_client.client import FacnetClient

DEFAULT_SERVER = "127.0.0.1:50051"


@dataclass
class Session:
    """One invocation of the program."""

    texts: Texts
    server: str | None  # named by --server or FACNET_SERVER
    as_json: bool

    @cached_property
    def out(self) -> Console:
        """Standard output, for people."""
        return console()

    @cached_property
    def reporter(self) -> Reporter:
        """Tells errors."""
        return Reporter(self.texts, as_json=self.as_json, server=self.server or DEFAULT_SERVER)

    def client(self, target: str | None = None) -> FacnetClient:
        """Return a client of `target`, or of the server that was named, or of the usual one."""
        return FacnetClient(target or self.server or DEFAULT_SERVER, language=self.texts.language)


def session(context: typer.Context) -> Session:
    """Return the session of a command."""
    found = context.find_root().obj
    if not isinstance(found, Session):
        raise TypeError("the root command makes the session")
    return found
