"""The selection methods: one file per kind of input, and the registry of names."""
