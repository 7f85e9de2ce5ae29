"""The vault and its ciphers."""
