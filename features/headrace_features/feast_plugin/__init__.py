"""Headrace inside Feast: registry objects, offline store and online store."""
