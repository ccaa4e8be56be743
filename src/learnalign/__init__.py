"""Choose, before training, the problems worth training on."""
