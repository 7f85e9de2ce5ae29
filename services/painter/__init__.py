"""Painter: a sentence in, a picture out; a thin client of the API on 8188."""
