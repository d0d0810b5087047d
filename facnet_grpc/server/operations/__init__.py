"""The operator calls: queue state, failed jobs, purge."""
