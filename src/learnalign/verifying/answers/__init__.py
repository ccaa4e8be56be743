"""What a completion answers: where the answer stands, what it says, whether it is the gold."""
