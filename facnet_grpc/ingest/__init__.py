"""Bytes to Arrow, pure: find out how a file is written, read it as text, cast it with our own kernels."""
