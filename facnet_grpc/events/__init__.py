"""Hints to watchers that a run has moved, over Redis streams."""
