"""The small networks that the project measures on, and checkpoints."""
