"""Dramatiq middleware of a worker process."""
