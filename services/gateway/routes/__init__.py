"""HTTP and WebSocket routes, each bare and under /api."""
