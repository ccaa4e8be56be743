"""Policy gradients: rollouts and verdicts in, one sketched row a problem out."""
