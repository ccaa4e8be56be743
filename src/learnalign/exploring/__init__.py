"""The map of a pool: where its problems lie, what they teach, and what each rule chooses."""
