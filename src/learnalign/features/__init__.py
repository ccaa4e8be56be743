"""Features of problems from a model's forward passes, without sampling: one row per problem."""
