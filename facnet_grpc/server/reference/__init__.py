"""Tariffs and establishments: lookups and imports."""
