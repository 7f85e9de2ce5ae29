"""How the demo model is made: pictures with captions, training, export and evaluation."""
