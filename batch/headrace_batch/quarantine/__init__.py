"""Rows that were not taken in: looked at, repaired, and released."""
