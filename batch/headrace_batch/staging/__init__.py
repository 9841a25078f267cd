"""Training sets: a spine with features as of each row, split, packed into shards and published."""
