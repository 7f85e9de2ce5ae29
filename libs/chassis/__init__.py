"""What every service stands on: wiring, running, health and drain."""
