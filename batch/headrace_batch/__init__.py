"""The batch path: Delta tables, ingestion, point-in-time backfills, in-process and on Spark."""
