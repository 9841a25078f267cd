"""Ingestion: files of events into Delta tables, each event once, bad rows aside with reasons."""
