"""The run folder, and the stages that fill it."""
