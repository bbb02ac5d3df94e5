"""The app as it was: client_fn, server_fn, and a strategy of `flwr.server`."""
