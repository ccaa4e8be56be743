"""One verifier a file: how it reads a gold, and judges a completion against it."""
