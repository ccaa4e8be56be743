"""The workflows behind the commands (``select``, ``train``, ``evaluate`` …), as functions."""
