"""The run folder as a store: tables in shards, manifest, hashes, checkpoints, lock."""
