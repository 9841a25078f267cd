"""Whether what the stream emitted is what batch and the oracle say: the promises P1, P2 and P3."""
