"""The demonstration: every step of the batch path on one set of transactions."""
