"""Selection of problems: candidates, methods, their statistics, the ranking."""
