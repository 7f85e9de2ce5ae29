"""From a weights file to networks: what it is, how it is shaped, how it is built."""
