"""What runs tell of themselves by OpenLineage: what they read, what they wrote, and by whom."""
