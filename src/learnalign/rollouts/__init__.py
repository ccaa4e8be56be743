"""Rollouts: engines that sample or look up, one table out."""
