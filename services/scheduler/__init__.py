"""The queue: joins what is known of a prompt, leases runs to workers, ends each run once."""
