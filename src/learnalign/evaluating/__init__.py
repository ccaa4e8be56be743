"""Accuracy on held-out problems, with confidence intervals."""
