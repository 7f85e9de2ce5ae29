"""Words before they are encoded: weights in brackets, chunks, CLIP's tokens. No torch in here."""
