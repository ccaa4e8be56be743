"""Statistics for methods and reports: success rates, alignment, stability."""
