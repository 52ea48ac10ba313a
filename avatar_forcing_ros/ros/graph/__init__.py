"""What starts nodes, watches them, and what their processes ask of the system."""
