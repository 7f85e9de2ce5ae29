"""Which requirement rows are shown by which tests."""
