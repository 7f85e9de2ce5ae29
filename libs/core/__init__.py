"""The lowest layer: errors, ids and money, all pure values."""
