"""The plan of the stream job: the definitions as the feature operator reads them."""
