"""Chaos: a house under load whose processes are killed, frozen and restarted, and its checker."""
