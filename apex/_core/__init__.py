"""The compiled data plane. It imports nothing else of apex."""
