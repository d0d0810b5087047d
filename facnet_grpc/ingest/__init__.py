"""Reads claim files: finds out the format, reads all cells as text, casts them by column. No I/O of its own."""
