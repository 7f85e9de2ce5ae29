"""Encoders and readers."""
