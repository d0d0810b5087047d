"""Changes of the schema, in order. Written as SQL; `schema.sql` is where they lead."""
