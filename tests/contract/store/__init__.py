"""Tables, read models and queries on a real PostgreSQL."""
