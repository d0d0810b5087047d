"""The process that does the work: takes runs off the queue and validates their files."""
