"""Pure rules of Painter: what a body asks for, and the workflow that it becomes."""
