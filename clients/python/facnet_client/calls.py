"""How every call with one answer is made: with the caller's language, and with errors turned into ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc

from facnet_client import trace
from facnet_client.errors import from_rpc
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub


class _Paged(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")
_PagedRequest = TypeVar("_PagedRequest", bound=_Paged)
_PageAnswer = TypeVar("_PageAnswer", bound=_Page)


@dataclass(frozen=True, slots=True)
class Calls:
    """The stub, and what goes with each call on it. `timeout` is for calls with one answer, in seconds."""

    stub: ValidationServiceStub
    headers: tuple[tuple[str, str], ...]
    timeout: float
    token: Callable[[], str] | None = field(default=None, repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent along with a call that is about to be made."""
        headers = (*self.headers, *trace.headers())
        if self.token is None:
            return headers
        return (*headers, ("authorization", f"Bearer {self.token()}"))

    def unary(self, method: grpc.UnaryUnaryMultiCallable[_Request, _Answer], request: _Request) -> _Answer:
        """Make one call. Raises `FacnetError`."""
        try:
            return method(request, timeout=self.timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    def pages(
        self,
        method: grpc.UnaryUnaryMultiCallable[_PagedRequest, _PageAnswer],
        request: _PagedRequest,
    ) -> Iterator[_PageAnswer]:
        """Yield page after page, each fetched when it is asked for. Raises `FacnetError`."""
        while True:
            page = self.unary(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
