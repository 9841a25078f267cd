"""Kafka: how clients are configured, and the topics of a project."""
