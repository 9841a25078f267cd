"""The feature server: Feast's own application behind limits, authentication and clear errors."""
