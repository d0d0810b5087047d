"""The call that is being answered: its id, its language and its caller. The interceptors set it, everybody reads it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from facnet_grpc.model.access import Caller
from facnet_grpc.texts.language import Locale

REQUEST_ID_HEADER = "x-request-id"
ANONYMOUS = Caller(owner="")  # the caller before authentication: owns nothing

# In quotes, because only the stubs declare it as generic.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Request:
    """One call."""

    id: str
    locale: Locale = Locale.FR
    caller: Caller = ANONYMOUS


NO_REQUEST = Request(id="")
CURRENT: ContextVar[Request] = ContextVar("request", default=NO_REQUEST)


def current() -> Request:
    """Return the call that this task, or this thread on its behalf, is answering."""
    return CURRENT.get()
