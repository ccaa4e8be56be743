"""Loading a policy and its tokenizer, and its output head."""
