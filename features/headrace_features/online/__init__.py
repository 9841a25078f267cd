"""Where the state of entities is kept for reading."""
