"""Approximate aggregates whose results do not depend on order: Theta sketch and histogram."""
