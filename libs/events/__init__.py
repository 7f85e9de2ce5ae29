"""Every event, signal and ask of the house: one class each, in the file of its owner."""
