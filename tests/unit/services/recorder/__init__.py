"""The recorder's rules, without any database."""
