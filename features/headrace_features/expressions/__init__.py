"""Row expressions: a small closed SQL grammar for filters and derived columns."""
