"""Streams: embedded services, the Flink job and what goes in and out of it."""
