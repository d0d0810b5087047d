"""Evaluates a completed run again, and lists what would change."""
