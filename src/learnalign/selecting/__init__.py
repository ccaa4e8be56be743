"""Which problems are chosen: figures of each, methods by name, the ranking and its stability."""
