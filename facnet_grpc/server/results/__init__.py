"""The output of a run: results, summaries, rejected lines, stored lines, logs, exports."""
