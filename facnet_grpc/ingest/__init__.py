"""Bytes to Arrow, pure: find out how a file is written, read it as text, cast it with our own kernels."""

from facnet_grpc.ingest.batches import LineBlock
from facnet_grpc.ingest.options import ReadOptions, RejectReason
from facnet_grpc.ingest.reader import ClaimFile, Found, open_claims

__all__ = ["ClaimFile", "Found", "LineBlock", "ReadOptions", "RejectReason", "open_claims"]
