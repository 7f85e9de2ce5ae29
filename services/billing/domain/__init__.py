"""The rules of money, all pure."""
