"""Verifiers that judge answers, run in worker processes that can be killed."""
