"""Verifiers, one per file: each parses a gold and judges a completion."""
