"""Synthetic claim files: realistic in shape, invented in every value."""
