"""Curricula in other people's trainers, one file a trainer; each is imported by its name."""
