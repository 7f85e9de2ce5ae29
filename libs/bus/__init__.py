"""The message bus: journal, reactors, feeds, signals, asks, leadership and dead letters."""
