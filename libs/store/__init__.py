"""PostgreSQL: the archive, the read models and their migrations."""
