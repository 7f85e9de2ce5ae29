"""Files of pictures and films: encoders and readers on bytes and arrays, without torch."""
