"""Meshes: surfaces of triangles, made out of a text or a picture."""
