"""Benchmarks beside the peers, on the same data in the same run."""
