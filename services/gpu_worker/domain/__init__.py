"""The rules of a worker, all pure."""
