"""The command line: one file a verb, thin, with heavy imports inside the verb."""
