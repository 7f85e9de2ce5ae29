"""Weights that stay packed in memory and are unpacked where they are used."""
