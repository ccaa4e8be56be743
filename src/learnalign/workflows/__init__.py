"""One file a verb: what ``learnalign select``, ``train``, ``evaluate`` … do, as functions."""
