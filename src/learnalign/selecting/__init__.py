"""Which problems are chosen: candidates, methods, their statistics, the ranking."""
