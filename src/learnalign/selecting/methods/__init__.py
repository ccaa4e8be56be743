"""The selection methods: one file for each kind of evidence, and the registry of names."""
