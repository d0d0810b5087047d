"""Watches of runs and batches: a snapshot first, then changes, until the terminal state."""
