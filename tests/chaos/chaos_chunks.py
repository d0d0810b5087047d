"""Somebody who uploads a file chunk by chunk, as a browser does, and whom nothing puts off."""

from __future__ import annotations

from random import Random
from uuid import UUID

import google_crc32c
from chaos_client import FILE_NAME, Submission
from chaos_stack import PATIENT, ChaosStack

from facnet_client import FacnetClient, FacnetError
from facnet_client.errors import NotFound
from facnet_client.retry import Backoff
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb

PIECES = (1, 3, 8)  # of a file, unless they are too large
MAX_CHUNK = 512 << 10
SHARE_BLIND = 0.5  # of what was not answered: sent again, without asking what arrived
SHARE_ANEW = 0.1  # of the others: the page is loaded again, and knows of its key but not of its upload
ASK = {"UPLOAD_BUSY", "WRONG_OFFSET", "CHUNK_CORRUPT"}


class ChunkedSubmission(Submission):
    """Submits by `UploadChunk`, finishes twice, and watches; how exactly, a seed says."""

    def __init__(self, stack: ChaosStack, content: bytes, seed: str) -> None:
        self._chance = Random(seed)
        super().__init__(stack, content)

    def send(self, client: FacnetClient) -> str:
        """Upload, and return the id of the run."""
        return _Chunks(client, self.content, self.key, self._chance).run()


class _Chunks:
    def __init__(self, client: FacnetClient, content: bytes, key: str, chance: Random) -> None:
        self._connection = client.connection
        self._content = content
        self._chance = chance
        self._size = min(MAX_CHUNK, len(content) // chance.choice(PIECES) + 1)
        self._ends_with_data = chance.random() < 1 / 2
        self._backoff = Backoff(PATIENT)
        self._header = pb.UploadHeader(
            file_name=FILE_NAME, size_bytes=len(content), idempotency_key=key, upload_id=self._new_id()
        )

    def run(self) -> str:
        """Send everything and return the run. Raises what is no passing error, or the last one."""
        offset, run_id = 0, ""
        while not run_id:
            offset, run_id = self._send(offset)
        offset, again = len(self._content), ""
        while not again:
            offset, again = self._send(offset)
        assert again == run_id, f"finishing twice made {run_id} and {again}"
        return run_id

    def _send(self, offset: int) -> tuple[int, str]:
        """Send the chunk at `offset`; return where to go on, and the run once there is one."""
        try:
            answer = self._connection.unary(self._connection.stub.UploadChunk, self._request(offset))
        except FacnetError as error:
            if not (error.is_retryable or error.reason in ASK) or not self._backoff.wait():
                raise
            return self._after(error, offset)
        self._backoff.progress()
        return answer.committed_bytes, answer.validation_id

    def _after(self, error: FacnetError, offset: int) -> tuple[int, str]:
        choice = self._chance.random()
        if error.is_retryable and choice < SHARE_BLIND:
            return offset, ""
        if error.is_retryable and choice > 1 - SHARE_ANEW:
            self._header.upload_id = self._new_id()
            return 0, ""
        while True:
            try:
                return self._look()
            except FacnetError as passing:
                if not passing.is_retryable or not self._backoff.wait():
                    raise

    def _look(self) -> tuple[int, str]:
        request = pb.GetUploadRequest(upload_id=self._header.upload_id)
        try:
            upload = self._connection.unary(self._connection.stub.GetUpload, request)
        except NotFound:  # it never began
            return 0, ""
        return upload.committed_bytes, upload.validation_id

    def _request(self, offset: int) -> pb.UploadChunkRequest:
        data = self._content[offset : offset + self._size]
        is_all = offset + len(data) == len(self._content)
        return pb.UploadChunkRequest(
            header=self._header,
            chunk=pb.UploadChunk(offset=offset, data=data, crc32c=google_crc32c.value(data)),
            finish=is_all and (self._ends_with_data or not data),
        )

    def _new_id(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))
