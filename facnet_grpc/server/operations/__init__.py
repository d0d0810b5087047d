"""The operator's calls: queue, failed jobs, purge."""
