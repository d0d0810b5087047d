"""What the command line was told about who it is: TLS files, and where the token is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import grpc

from facnet_cli.exits import ExitCode
from facnet_cli.problem import Problem
from facnet_client.connection import tls_credentials

TOKEN_VARIABLE = "FACNET_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class Access:
    """Options of the root command, or the variables in their place."""

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return what the channel is opened with. Raises `OSError`, `Problem`."""
        if (self.cert is None) != (self.key is None):
            raise Problem("cert_and_key", ExitCode.USAGE)
        return tls_credentials(tls=self.tls, ca=self.ca, cert=self.cert, key=self.key)

    def token_of_file(self) -> str | None:
        """Return the token in the file that was named. Raises `OSError`, `Problem`."""
        from facnet_cli.login import clean  # noqa: PLC0415 - which needs a session, which needs this

        return clean(self.token_file.read_text("utf-8", errors="replace")) if self.token_file else None

    def token(self, server: str) -> str | None:
        """Return the token to call `server` with: of the named file, of the variable, of the last login; or none."""
        from facnet_cli.login import clean, kept  # noqa: PLC0415 - likewise

        if (named := self.token_of_file()) is not None:
            return named
        given = os.environ.get(TOKEN_VARIABLE)
        return clean(given) if given else kept(server)
