"""`facnet login`, `facnet logout`, and where tokens are kept: one file of the user's own, a token for each server.

A token is never an argument: those are seen by everybody on the machine, and kept in the shell's history.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import suppress
from getpass import getpass
from pathlib import Path

import typer

from facnet_cli.exits import ExitCode
from facnet_cli.problem import Problem
from facnet_cli.session import DEFAULT_SERVER, Session, session

_MAX_TOKEN = 8 << 10  # what servers take


def login(context: typer.Context) -> None:
    """Keep a token for a server, once the server has accepted it."""
    told = session(context)
    token = told.access.token_of_file() or _ask(told)
    with told.client(token=token) as client:
        next(client.list(page_size=1), None)
    _change(told.server or DEFAULT_SERVER, token)
    told.out.print(told.texts("login.done", server=told.server or DEFAULT_SERVER, path=_path()))


def logout(context: typer.Context) -> None:
    """Forget the token for a server."""
    told = session(context)
    _change(told.server or DEFAULT_SERVER, None)
    told.out.print(told.texts("login.forgotten", server=told.server or DEFAULT_SERVER))


def kept(server: str) -> str | None:
    """Return the token that is kept for a server. Raises `Problem` if others may read the file."""
    return _read().get(server)


def clean(token: str) -> str:
    """Return a token as it goes into a header. Raises `Problem` if it cannot be one."""
    text = token.strip()
    if not text or len(text) > _MAX_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise Problem("no_token", ExitCode.USAGE)
    return text


def _ask(told: Session) -> str:
    if sys.stdin.isatty():
        return clean(getpass(told.texts("login.prompt")))
    return clean(sys.stdin.read(_MAX_TOKEN + 1))


def _path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "facnet" / "tokens.json"


def _read() -> dict[str, str]:
    path = _path()
    try:
        with path.open(encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Problem("tokens_open", ExitCode.CONFIGURATION, path=path)
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Problem("tokens_broken", ExitCode.CONFIGURATION, path=path) from None
    return {str(server): str(token) for server, token in found.items()} if isinstance(found, dict) else {}


def _change(server: str, token: str | None) -> None:
    """Write the file anew, never readable for others, whole or not at all."""
    tokens = {name: kept for name, kept in _read().items() if name != server} | ({server: token} if token else {})
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(tokens, file)
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
