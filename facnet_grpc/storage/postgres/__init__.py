"""PostgreSQL, the source of truth. Only this package uses psycopg."""
