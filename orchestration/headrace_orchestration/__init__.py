"""The `headrace` command and the steps it puts together."""
