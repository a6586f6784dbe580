"""The operators, their backends, and the reference that defines them."""
