"""A file at rest that somebody has been at, through the real port: it is not taken up again, and the caller is told."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from serving import Server, Worker, refused, submit

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.file_keys import PostgresFileKeys

pytestmark = pytest.mark.system


@pytest.fixture
def blob_store(database: Database, tmp_path: Path) -> EncryptedBlobStore:
    """Encrypted, as in the product."""
    file_keys = PostgresFileKeys(database, KeyWrapper.for_files(Keys.parse("k" * 32)))
    return EncryptedBlobStore(LocalBlobStore(tmp_path), file_keys)


def failed(server: Server, data: bytes) -> str:
    run_id = submit(server, data)
    Worker(server, run_id).start().fail(TerminalError(Reason.NOT_A_CSV))
    return str(run_id)


def read(server: Server, key: str) -> bytes:
    with server.blobs.open(key) as file:
        return file.read()


def test_a_file_without_its_end_cannot_be_tried_again(server: Server, tmp_path: Path) -> None:
    run_id = failed(server, b"some,claims\n1,2\n")
    path = tmp_path / "blobs" / run_id
    path.write_bytes(path.read_bytes()[:-1])
    request = pb.RetryValidationRequest(validation_id=run_id)
    for language, word in (("fr", "tronqué"), ("en", "cut off")):
        metadata = (("accept-language", language),)
        refusal = refused(lambda metadata=metadata: server.stub.RetryValidation(request, metadata=metadata, timeout=10))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, "BLOB_DAMAGED")
        assert word in refusal.texts[0].message


def test_the_whole_file_of_another_run_is_not_read_in_its_place(server: Server, tmp_path: Path) -> None:
    mine, theirs = failed(server, b"mine\n"), failed(server, b"theirs\n")
    assert (read(server, mine), read(server, theirs)) == (b"mine\n", b"theirs\n")
    (tmp_path / "blobs" / mine).write_bytes((tmp_path / "blobs" / theirs).read_bytes())
    with pytest.raises(TerminalError) as caught:
        read(server, mine)
    assert caught.value.reason is Reason.BLOB_DAMAGED
    assert read(server, theirs) == b"theirs\n"
