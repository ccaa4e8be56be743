"""Learnability, alignment and the score: arrays in, arrays out."""
