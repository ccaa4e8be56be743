"""Exporting selections in trainers' file formats."""
