"""Configurations, and TOML files by name."""
