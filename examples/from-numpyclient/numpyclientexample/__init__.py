"""A NumPyClient app of the client_fn kind, under today's strategies."""
