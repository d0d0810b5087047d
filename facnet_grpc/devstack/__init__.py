"""PostgreSQL, Valkey, a server and a worker on one machine, for trying out and for tests."""
