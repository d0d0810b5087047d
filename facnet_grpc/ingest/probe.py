"""The beginning of a file as text, and how it got there: compression and encoding."""

from __future__ import annotations

from dataclasses import dataclass

from facnet_grpc.ingest import dialect, encoding
from facnet_grpc.ingest.blocks import read_text
from facnet_grpc.ingest.encoding import Encoding
from facnet_grpc.ingest.options import PROBE_BYTES, ReadOptions
from facnet_grpc.ingest.source import OpenSource, Stream


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a file before its columns are."""

    compression: str | None
    encoding: Encoding
    text: bytes
    """The first megabyte, as UTF-8. It is PHI."""


def read_probe(open_source: OpenSource, size_bytes: int, options: ReadOptions) -> Probe:
    """Read the beginning of a file; all of it, where only that tells the encoding.

    Raises:
        TerminalError: EMPTY_FILE, NOT_A_CSV, UNKNOWN_ENCODING, CORRUPT_ARCHIVE or EXPANDS_TOO_LARGE.
    """
    with Stream(open_source, size_bytes, options) as stream:
        dialect.refuse_known_binary(stream.read(64))
    with Stream(open_source, size_bytes, options) as stream:
        found = encoding.detect(stream, options.encoding_hint, options.block_bytes)
    text = bytearray()
    with Stream(open_source, size_bytes, options) as stream:
        for block in read_text(stream, found, options.block_bytes):
            text += block
            if len(text) >= PROBE_BYTES:
                break
    probe = bytes(text[:PROBE_BYTES])
    dialect.refuse_binary(probe)
    return Probe(stream.compression, found, probe)
