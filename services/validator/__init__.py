"""The validator: hears submissions and writes a verdict."""
