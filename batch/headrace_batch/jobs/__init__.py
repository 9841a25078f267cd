"""The steps of the batch path as plain scripts, for `spark-submit`."""
