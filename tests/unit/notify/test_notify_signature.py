"""What is said, how it is signed, and that a receiver can tell, by the very example of the page about it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from facnet_grpc.model.notification import Channel, Notification
from facnet_grpc.model.run import RunStatus
from facnet_grpc.notify import webhook
from facnet_grpc.settings.keys import Keys

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "notifications.md"
OLD, NEW = "o" * 32, "n" * 32
NOW = 1_790_000_000
ONE = Notification(
    id=UUID(int=1),
    run_id=UUID(int=2),
    channel=Channel.WEBHOOK,
    owner="clinic",
    status=RunStatus.COMPLETED,
    url="https://hooks.example.org/?token=s3cret",
    data={"validation_id": str(UUID(int=2)), "status": "COMPLETED", "result_counts": {"error": 1}},
    created_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    attempt=1,
    age_seconds=0.0,
)


@pytest.fixture(scope="module")
def verify():
    """The function of the example."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    found: dict[str, object] = {}
    exec(example, found)
    return found["verify"]


def test_it_is_a_cloud_event():
    message = webhook.message(ONE, "urn:facnet:test")
    assert message.headers == {"content-type": "application/cloudevents+json"}
    assert json.loads(message.body) == {
        "specversion": "1.0",
        "id": str(UUID(int=1)),
        "source": "urn:facnet:test",
        "type": "facnet.validation.completed",
        "subject": str(UUID(int=2)),
        "time": "2026-11-23T12:00:00Z",
        "datacontenttype": "application/json",
        "data": dict(ONE.data),
    }
    assert webhook.message(ONE, "urn:facnet:test") == message


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_the_type_says_how_the_run_ended(status):
    ended = Notification(**{name: getattr(ONE, name) for name in ONE.__slots__} | {"status": status})
    assert json.loads(webhook.message(ended, "s").body)["type"] == f"facnet.validation.{status.lower()}"


def test_a_receiver_can_tell(verify):
    body = webhook.message(ONE, "urn:facnet").body
    signed = webhook.signature(Keys.parse(f"k1:{OLD}"), NOW, body)
    assert re.fullmatch(rf"t={NOW},k1=[0-9a-f]{{64}}", signed)
    assert verify(signed, body, {"k1": OLD}, now=NOW)
    assert verify(signed, body, {"k1": OLD}, now=NOW + 299)


def test_while_keys_are_changed_either_does(verify):
    signed = webhook.signature(Keys.parse(f"k2:{NEW},k1:{OLD}"), NOW, b"{}")
    for known in ({"k1": OLD}, {"k2": NEW}, {"k1": OLD, "k2": NEW}):
        assert verify(signed, b"{}", known, now=NOW)


def test_nobody_else_can_make_one(verify):
    signed = webhook.signature(Keys.parse(f"k1:{OLD}"), NOW, b"{}")
    digest = signed.partition("k1=")[2]
    wrong = [
        (signed, b"{ }", {"k1": OLD}, NOW),  # another body
        (signed, b"{}", {"k1": NEW}, NOW),  # another key
        (signed, b"{}", {"k9": OLD}, NOW),  # a key that the receiver does not know by this name
        (signed, b"{}", {}, NOW),
        (signed, b"{}", {"k1": OLD}, NOW + 301),  # kept for later
        (signed, b"{}", {"k1": OLD}, NOW - 301),
        (f"t={NOW + 1},k1={digest}", b"{}", {"k1": OLD}, NOW),  # another time
        (f"t={NOW},k1=", b"{}", {"k1": OLD}, NOW),
        (f"t={NOW}", b"{}", {"k1": OLD}, NOW),
    ]
    assert [verify(header, body, keys, now=now) for header, body, keys, now in wrong] == [False] * len(wrong)
