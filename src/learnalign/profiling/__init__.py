"""What a sample of problems says before training: shares, costs of choosing, and an advice."""
