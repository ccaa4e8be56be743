"""Answer parsing: extract an answer from a completion and compare it with the gold."""
