"""From files, folders, names and specs to the pool of problems, each with its prompt."""
