"""Which run comes next, and when the others will: pure functions over what PostgreSQL knows."""
