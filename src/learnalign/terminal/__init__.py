"""What a terminal shows while we work: progress, durations, escaped control characters."""
