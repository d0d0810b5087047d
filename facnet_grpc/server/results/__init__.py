"""What a run found: results, rejected lines, stored lines, logs, summaries, exports."""
