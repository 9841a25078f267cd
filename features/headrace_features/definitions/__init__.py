"""What a user declares: sources, entities, windows, aggregates, views, services."""
