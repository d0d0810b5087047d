"""Periodic jobs: reconcile, retention, reference refresh, key rotation."""
