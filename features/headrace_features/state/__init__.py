"""The state of an entity: tiles and raw events, from which values are merged when they are read."""
