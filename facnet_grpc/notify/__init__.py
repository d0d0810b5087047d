"""Saying that runs have ended: what is said, where it may be said, and how it gets there."""
