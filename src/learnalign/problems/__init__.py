"""Building the pool of problems and their prompts from files, folders, hub names and specs."""
