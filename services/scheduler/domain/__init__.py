"""The rules of the queue, all pure."""
