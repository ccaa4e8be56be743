"""GRPO training on selected problems, with a native trainer and TRL's."""
