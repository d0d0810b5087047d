"""Says who calls. Without authentication the server listens on loopback only, and everybody there is one owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from facnet_grpc.model.access import LOCAL
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.request import CURRENT, current


@asynccontextmanager
async def auth(_call: Call) -> AsyncIterator[None]:
    """Bind the caller to the call."""
    token = CURRENT.set(replace(current(), caller=LOCAL))
    try:
        yield
    finally:
        CURRENT.reset(token)
