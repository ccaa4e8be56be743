"""Is this answer right? One file a kind, run in worker processes that can be killed."""
