"""What server and workers agree on: the names and payloads of jobs, and how to put one on the queue."""
