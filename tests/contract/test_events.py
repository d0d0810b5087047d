"""Servers and workers of neighbouring releases understand each other's events, and survive what they do not.

`events.json` is only ever added to. An entry holds the status as text and the progress, a `RunProgress`, in base64.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from facnet_grpc.events.stream import decode, encode
from facnet_grpc.model.run import RunStatus
from facnet_grpc.server.watching.snapshot import from_event

KNOWN = json.loads((Path(__file__).parent / "events.json").read_text())
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def fields(known: Any) -> dict[bytes, bytes]:
    written = known["fields"].items()
    return {
        name.encode(): value.encode() if name == "status" else b64decode(value, validate=True)
        for name, value in written
    }


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known["since"])
def test_an_entry_is_understood_or_passed_over(known: Any) -> None:
    event = decode(ID, b"7-0", fields(known))
    assert (event.run_id, event.position) == (ID, "7-0"), "whoever reads gets past it"
    assert event.status == (known["status"] and RunStatus(known["status"]))
    snapshot = from_event(event)
    assert (snapshot and snapshot.progress.percent) == known["percent"]


def test_this_release_publishes_what_the_oldest_one_reads() -> None:
    oldest = fields(KNOWN[0])
    sent = encode(decode(ID, b"7-0", oldest))
    assert {name.encode(): value for name, value in sent.items()} == oldest | {b"status": "PROCESSING"}
