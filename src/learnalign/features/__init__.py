"""What a model says of a problem without sampling anything: one row a problem."""
