"""Stores of uploaded files: on a disk or in memory of a test, encrypted at rest."""
