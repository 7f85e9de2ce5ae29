"""A kind of network and a node type that the studio knows nothing of."""
