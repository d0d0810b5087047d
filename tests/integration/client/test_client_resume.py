"""Going on with what was broken off: uploads by their id, and what is told while a connection is made again."""

from __future__ import annotations

import hashlib
import io
import os
from uuid import uuid4

import pytest
from fake_server import RUN_ID, gone, progress, terminal

from facnet_client import FacnetError, Unavailable
from facnet_client.upload import CHUNK_BYTES


def test_an_upload_that_was_given_up_is_gone_on_with(client, fake):
    data, upload_id = os.urandom(4 * CHUNK_BYTES), str(uuid4())
    fake.uploads[upload_id] = bytearray(data[: 2 * CHUNK_BYTES])
    submitted = client.submit(io.BytesIO(data), upload_id=upload_id)
    assert submitted.validation_id == RUN_ID
    assert bytes(fake.uploads[upload_id]) == data
    assert fake.streams == [[2 * CHUNK_BYTES, 3 * CHUNK_BYTES]]
    assert fake.headers[0].idempotency_key == upload_id
    assert fake.hashes == [hashlib.sha256(data).hexdigest()], "of the whole file, not of what was sent now"


def test_a_file_that_became_shorter_is_not_what_it_was(client, fake):
    data, upload_id = os.urandom(2 * CHUNK_BYTES), str(uuid4())
    fake.uploads[upload_id] = bytearray(data)
    file = io.BytesIO(data)
    file.truncate(CHUNK_BYTES)
    with pytest.raises(FacnetError):
        client.submit(file, upload_id=upload_id)
    assert fake.hashes == [hashlib.sha256(data[:CHUNK_BYTES]).hexdigest()]


def test_an_upload_that_had_arrived_is_not_sent_again(client, fake):
    upload_id = str(uuid4())
    fake.uploads[upload_id] = bytearray(b"all of it")
    fake.finished[upload_id] = RUN_ID
    assert client.submit(io.BytesIO(b"all of it"), upload_id=upload_id).validation_id == RUN_ID
    assert fake.streams == []


def test_an_upload_that_is_not_known_begins(client, fake):
    upload_id = str(uuid4())
    client.submit(io.BytesIO(b"content"), upload_id=upload_id)
    assert bytes(fake.uploads[upload_id]) == b"content"


def test_breaks_of_an_upload_are_told_and_their_ends(client, fake):
    told = []
    fake.break_after = [1, 1]
    client.submit(io.BytesIO(bytes(4 * CHUNK_BYTES)), on_break=lambda error: told.append(error and error.reason))
    assert told == ["SHUTTING_DOWN", None, "SHUTTING_DOWN", None]


def test_breaks_of_a_watch_are_told_and_their_ends(client, fake):
    told = []

    def on_break(error):
        told.append(error is None)

    fake.watches = [[progress(10), gone()], [progress(20), terminal()]]
    told.extend(update.percent for update in client.watch(RUN_ID, on_break=on_break))
    assert told == [True, 10, False, True, 20, True, 100]


@pytest.mark.parametrize("upload_id", [None, "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_a_server_that_does_not_come_back_is_told(client, fake, upload_id):
    fake.refuse = gone()
    with pytest.raises(Unavailable):
        client.submit(io.BytesIO(b"content"), upload_id=upload_id)
