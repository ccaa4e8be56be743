"""The rows that trainers read, one file a trainer."""
