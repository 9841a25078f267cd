"""The vectorised engine: features of whole tables by sorting and numpy, without an event loop."""
