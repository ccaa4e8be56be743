"""Terminal output: progress, durations, escaped control characters."""
