"""The sub-commands; each imports what is heavy only when it runs."""
