"""The contracts of Headrace: events, codec, topics and tables, settings, metric names, errors."""
