"""Statistics that methods and reports need: success rates, alignment, stability."""
