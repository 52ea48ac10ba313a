"""Conversations to learn from, and how the embedded network learns from them. Nothing here is needed at run time."""
