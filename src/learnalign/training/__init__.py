"""GRPO on chosen problems: what people call the trainer, behind two implementations."""
