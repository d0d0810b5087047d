"""How the command line authenticates: TLS files, a token, and the file that `facnet login` keeps tokens in.

A token is never an argument: everybody on the machine can see arguments, and the shell's history keeps them.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from facnet_cli.errors import ExitCode, Problem
from facnet_client.connection import tls_credentials

MAX_TOKEN_BYTES = 8 << 10  # the servers' limit
_TOKEN_VARIABLE = "FACNET_TOKEN"  # noqa: S105 - the name of a variable
_READABLE_BY_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Credentials:
    """Options of the root command, or the environment variables in their place."""

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    def channel(self) -> grpc.ChannelCredentials | None:
        """Return the credentials of a channel; None for plain text. Raises `OSError`, `Problem`."""
        if (self.cert is None) != (self.key is None):
            raise Problem("cert_and_key", ExitCode.USAGE)
        return tls_credentials(tls=self.tls, ca=self.ca, cert=self.cert, key=self.key)

    def token_of_file(self) -> str | None:
        """Return the token in `--token-file`. Raises `OSError`, `Problem`."""
        return checked(self.token_file.read_text("utf-8", errors="replace")) if self.token_file else None

    def token(self, server: str) -> str | None:
        """Return the token for `server`: of `--token-file`, else of the variable, else of the last login, else None.

        Raises `OSError`, `Problem`.
        """
        if (token := self.token_of_file()) is not None:
            return token
        variable = os.environ.get(_TOKEN_VARIABLE)
        return checked(variable) if variable else _read_tokens().get(server)


def checked(token: str) -> str:
    """Return a token without surrounding white space. Raises `Problem` if it cannot be one."""
    text = token.strip()
    if not text or len(text) > MAX_TOKEN_BYTES or not text.isascii() or not text.isprintable() or " " in text:
        raise Problem("no_token", ExitCode.USAGE)
    return text


def tokens_path() -> Path:
    """Return the path of the file with a token for each server."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "facnet" / "tokens.json"


def store_token(server: str, token: str | None) -> None:
    """Replace the token of a server, or remove it. The file is written as a whole and only its owner can read it."""
    tokens = {name: value for name, value in _read_tokens().items() if name != server}
    if token:
        tokens[server] = token
    path = tokens_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(tokens, file)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _read_tokens() -> dict[str, str]:
    """Return the tokens by server. Raises `Problem` if others can read the file (Windows has no such mode)."""
    path = tokens_path()
    try:
        with path.open(encoding="utf-8") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _READABLE_BY_OTHERS:
                raise Problem("tokens_open", ExitCode.CONFIGURATION, path=path)
            tokens = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Problem("tokens_broken", ExitCode.CONFIGURATION, path=path) from None
    return {str(server): str(token) for server, token in tokens.items()} if isinstance(tokens, dict) else {}
