"""When the end of a stream of chunks is believed."""

import asyncio

import pytest

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.server.uploads.service import UploadStream


async def messages(size_bytes, *parts):
    yield pb.SubmitValidationRequest(header=pb.UploadHeader(size_bytes=size_bytes))
    offset = 0
    for part in parts:
        yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=offset, data=part))
        offset += len(part)


async def read(size_bytes, *parts, seconds):
    """Return what was read, if the stream ends within so many seconds."""
    upload = UploadStream(messages(size_bytes, *parts), 60.0, end_seconds=60.0)
    await upload.header()
    async with asyncio.timeout(seconds):
        return b"".join([chunk.data async for chunk in upload.chunks()])


def test_a_whole_file_has_ended_at_once():
    assert asyncio.run(read(4, b"ab", b"cd", seconds=10)) == b"abcd"


@pytest.mark.parametrize("size_bytes", [None, 3, 5])
def test_a_file_that_may_not_be_whole_may_turn_out_to_be_broken_off(size_bytes):
    with pytest.raises(TimeoutError):
        asyncio.run(read(size_bytes, b"ab", b"cd", seconds=0.1))
