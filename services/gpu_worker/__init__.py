"""A worker: an agent that asks for leases, and an engine child that executes them."""
