"""Placeholder first line."""
