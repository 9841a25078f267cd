"""Whether a machine and a project have what Headrace needs, and what to do where they don't."""
