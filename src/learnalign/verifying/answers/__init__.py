"""Answer parsing: extracting an answer from a completion and comparing it with the gold."""
