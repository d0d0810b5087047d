"""Runs every call, unary or streaming, inside the interceptors: asynchronous context managers in a fixed order."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from facnet_grpc.errors import InvalidInput
from facnet_grpc.server.request_context import Context

# In quotes, because only the stubs declare it as generic.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(slots=True)
class Call:
    """One call, as interceptors see it."""

    method: str  # /facnet.v1.ValidationService/GetValidation
    unary: bool  # one request, one response
    context: Context
    owner: str = ""  # the caller's owner for logs, set by the authentication: outer interceptors read it at the end

    def metadata(self, name: str) -> str | None:
        """Return the first value of a text header that the caller sent."""
        return next(iter(self.all_metadata(name)), None)

    def all_metadata(self, name: str) -> list[str]:
        """Return all values of a text header that the caller sent."""
        sent = self.context.invocation_metadata() or ()
        return [value for key, value in sent if key == name and isinstance(value, str)]


Interceptor = Callable[[Call], AbstractAsyncContextManager[None]]


class Chain(grpc.aio.ServerInterceptor):
    """Enters the interceptors in order before a call and exits them in reverse order after it."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = interceptors

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of a call with the chain around it; None for an unknown method."""
        handler = await continuation(handler_call_details)
        return _wrapped(handler, handler_call_details.method, self._interceptors) if handler else None


def _wrapped(handler: Handler, method: str, interceptors: Sequence[Interceptor]) -> Handler:
    kind = ("stream" if handler.request_streaming else "unary", "stream" if handler.response_streaming else "unary")
    inner = getattr(handler, "_".join(kind))

    async def around(request: Any, context: Context) -> Any:
        call = Call(method, kind == ("unary", "unary"), context)
        async with AsyncExitStack() as stack:
            for interceptor in interceptors:
                await stack.enter_async_context(interceptor(call))
            readable = _Readable(request) if handler.request_streaming else _readable(request)
            return await _answer(inner, readable, context)

    make = getattr(grpc, f"{'_'.join(kind)}_rpc_method_handler")
    wrapped: Handler = make(around, _lenient(handler.request_deserializer), handler.response_serializer)
    return wrapped


# Stands for bytes that are no message of the method. The error is raised inside the interceptors: after authentication.
_UNREADABLE = object()


def _lenient(read: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def attempt(data: bytes) -> Any:
        try:
            return read(data) if read else data
        except DecodeError:
            return _UNREADABLE

    return attempt


def _readable(message: Any) -> Any:
    if message is _UNREADABLE:
        raise InvalidInput
    return message


class _Readable:
    """The messages of a stream. A wait for the next one may be cancelled and repeated, unlike with a generator."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return _readable(await anext(self._messages))


async def _answer(inner: Callable[..., Any], request: Any, context: Context) -> Any:
    """Run the handler. A generator is consumed here, so that it is closed before the interceptors exit."""
    if not inspect.isasyncgenfunction(inner):
        return await inner(request, context)
    async with aclosing(inner(request, context)) as messages:
        async for message in messages:
            await context.write(message)
    return None
