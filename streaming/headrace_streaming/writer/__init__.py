"""The online writer: from the topic of updates into the stream layer of the online store."""
