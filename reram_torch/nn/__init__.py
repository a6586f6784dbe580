"""The crossbar layers and their parts."""
