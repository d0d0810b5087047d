"""Measurements, each with a make target; never part of the tests."""
