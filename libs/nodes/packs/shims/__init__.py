"""What packs import from the program that they were written for: our own, as far as it goes."""
