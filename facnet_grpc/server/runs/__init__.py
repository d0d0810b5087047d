"""Runs: get, list, cancel, retry, delete, and estimates of when they end."""
