"""The recorder: the one archiver, from the stream to PostgreSQL, and public news of it."""
