"""Atomic writes of files and folders, local or in an object store."""
