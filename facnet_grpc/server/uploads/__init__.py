"""Uploads: chunks in, a stored file and a queued run out; resumable."""
