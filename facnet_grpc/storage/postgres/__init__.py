"""PostgreSQL: the only truth. Everything of psycopg is in here."""
