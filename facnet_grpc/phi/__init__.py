"""Protected health information (PHI): redaction in responses, scrubbing of logs."""
