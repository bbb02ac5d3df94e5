"""The app before the change: client_fn, server_fn, and a strategy of `flwr.server`."""
