"""Synthetic claim files: realistic in shape, invented in every value."""

from facnet_grpc.sample.dialect import USUAL, SampleDialect
from facnet_grpc.sample.writer import write_sample

__all__ = ["USUAL", "SampleDialect", "write_sample"]
