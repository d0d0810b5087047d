"""Something to say, and somebody to say it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from receivers import HookServer, hook_server

from facnet_grpc.model.notification import Channel, Notification
from facnet_grpc.model.run import RunStatus


@pytest.fixture
def hooks() -> Iterator[HookServer]:
    """Hears webhooks in the clear."""
    with hook_server() as server:
        yield server


@pytest.fixture
def notification() -> Callable[..., Notification]:
    """Makes one; everything can be changed."""

    def make(url: str | None = None, **changes: object) -> Notification:
        run_id = uuid4()
        usual = {
            "id": uuid4(),
            "run_id": run_id,
            "channel": Channel.WEBHOOK if url else Channel.MAIL,
            "owner": "local",
            "status": RunStatus.CANCELLED,
            "url": url,
            "data": {"validation_id": str(run_id), "status": "CANCELLED"},
            "created_at": datetime.now(UTC),
            "attempt": 1,
            "age_seconds": 0.0,
        }
        return Notification(**usual | changes)

    return make
