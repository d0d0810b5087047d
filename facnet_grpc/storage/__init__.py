"""Where things are kept: files in a blob store, everything else in PostgreSQL."""
