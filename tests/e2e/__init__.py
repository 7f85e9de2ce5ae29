"""The whole house, started as a user starts it, seen only from outside."""
