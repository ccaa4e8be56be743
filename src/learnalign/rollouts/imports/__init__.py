"""Rollouts that exist already: the trainers' formats, how they are read, whose each one is."""
