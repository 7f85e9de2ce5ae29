"""Control pictures: edges, scribbles, tiles, holes, poses and depths out of pictures."""
