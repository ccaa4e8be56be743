"""Selections handed to trainers, as files in their formats."""
