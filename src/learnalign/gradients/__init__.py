"""Policy gradients: rollouts and verdicts in, one sketched row per problem out."""
