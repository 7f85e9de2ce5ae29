"""Changes to how networks compute, taken back when a course ends."""
