"""Rollouts: engines that sample or look up completions and return one table."""
