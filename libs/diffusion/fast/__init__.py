"""The fast profile: what makes a run quicker at the price of bytes that repeat."""
