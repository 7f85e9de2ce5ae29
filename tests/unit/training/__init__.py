"""The demo model: its data, its file, its card, and what it paints."""
