"""The recorder's rules: the hash chain, and what the public may know."""
