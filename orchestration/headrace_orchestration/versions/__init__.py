"""Versions of a project's views side by side: replayed, compared, promoted, taken back, dropped."""
