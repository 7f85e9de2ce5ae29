"""Model files: where they lie, and which there are."""
