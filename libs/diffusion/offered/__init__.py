"""The part of what node packs import that computes with torch."""
