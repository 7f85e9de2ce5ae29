"""Moderation: clears the text before a run, and looks at every output before anybody sees it."""
