"""Partials: the mergeable intermediates of aggregates, and their encoding."""
