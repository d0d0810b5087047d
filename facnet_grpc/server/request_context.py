"""What is known of the call that is being answered: its id, its language, its caller. Bound by the interceptors."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from facnet_grpc.model.access import Caller
from facnet_grpc.texts.language import Locale

NOBODY = Caller(owner="")  # owns nothing: what a call sees if no interceptor has said who calls


@dataclass(frozen=True, slots=True)
class Request:
    """One call."""

    id: str
    locale: Locale = Locale.FR
    caller: Caller = NOBODY


NONE = Request(id="")
CURRENT: ContextVar[Request] = ContextVar("request", default=NONE)


def current() -> Request:
    """Return the call that this task, or this thread on its behalf, is answering."""
    return CURRENT.get()
