"""Speed, measured in one run against a named limit; numbers are kept under docs/bench."""
