"""Painter's routes."""
