"""Bytes to Arrow, pure: find out how a file is written, read it as text, cast it with our own kernels."""

from facnet_grpc.ingest.reader import Batch, ClaimFile, Found, ReadOptions, open_claims
from facnet_grpc.ingest.reasons import RejectReason

__all__ = ["Batch", "ClaimFile", "Found", "ReadOptions", "RejectReason", "open_claims"]
