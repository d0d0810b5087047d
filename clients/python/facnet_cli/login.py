"""`facnet login` and `facnet logout`: keep a token for a server, and remove it."""

from __future__ import annotations

import sys
from getpass import getpass

import typer

from facnet_cli.credentials import MAX_TOKEN_BYTES, checked, store_token, tokens_path
from facnet_cli.session import Session, get_session


def login(context: typer.Context) -> None:
    """Keep a token for a server, if the server accepts it."""
    session = get_session(context)
    token = session.credentials.token_of_file() or _read_token(session)
    with session.client(token=token) as client:
        next(client.list(page_size=1), None)
    store_token(session.target, token)
    session.say("login.done", server=session.target, path=tokens_path())


def logout(context: typer.Context) -> None:
    """Remove the token for a server."""
    session = get_session(context)
    store_token(session.target, None)
    session.say("login.forgotten", server=session.target)


def _read_token(session: Session) -> str:
    if session.system.is_terminal(sys.stdin):
        return checked(getpass(session.texts("login.prompt")))
    return checked(sys.stdin.read(MAX_TOKEN_BYTES + 1))
