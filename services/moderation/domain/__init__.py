"""The rules of moderation, all pure."""
