"""What happened to a run: as far as it is known, or until the run is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from facnet_client.calls import Calls
from facnet_client.record import LogEntry, log_entry
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

POLL_SECONDS = 1.0


def entries(calls: Calls, request: pb2.ListValidationLogsRequest) -> Iterator[LogEntry]:
    """Yield the entries that there are, oldest first. Raises `FacnetError`."""
    for page in calls.pages(calls.stub.ListValidationLogs, request):
        yield from map(log_entry, page.entries)


def following(
    calls: Calls,
    request: pb2.ListValidationLogsRequest,
    is_over: Callable[[], bool],
) -> Iterator[LogEntry]:
    """Yield the entries that there are and those that come, until the run is over. Raises `FacnetError`.

    The last page has no token to go on from, so it is read again; what was seen of it is left out.
    """
    seen: list[pb2.LogEntry] = []
    over = False
    while True:
        page = calls.unary(calls.stub.ListValidationLogs, request)
        fresh = [message for message in page.entries if message not in seen]
        yield from map(log_entry, fresh)
        if page.next_page_token:
            request.page_token, seen = page.next_page_token, []
        elif over and not fresh:
            return
        else:
            seen += fresh
            if not over:
                over = is_over()
                time.sleep(0 if over else POLL_SECONDS)
