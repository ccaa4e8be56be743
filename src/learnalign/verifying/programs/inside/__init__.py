"""What runs inside the sandboxes: standard library only, no import from the rest of LearnAlign."""
