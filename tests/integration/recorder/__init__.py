"""The recorder on a real PostgreSQL."""
