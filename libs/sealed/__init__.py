"""Encryption of everything that names a person, under a key per tenant and user."""
