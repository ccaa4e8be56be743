"""Which problems the next training step samples, from what the training has observed so far."""
