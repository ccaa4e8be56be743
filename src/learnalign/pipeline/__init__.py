"""The stages that fill a run folder, and the executor that runs them here or on Ray."""
