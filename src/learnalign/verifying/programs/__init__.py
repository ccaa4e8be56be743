"""Programs as answers: run in a sandbox, judged by tests that the program never sees."""
