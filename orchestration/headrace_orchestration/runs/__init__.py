"""Runs as data: what is done every day, for a replay and for upkeep, whoever schedules it."""
