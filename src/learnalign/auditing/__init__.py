"""Problems that a person should look at: one file a kind of finding, and what they share."""
