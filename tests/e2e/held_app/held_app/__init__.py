"""Clients that a test can hold in the middle of their training."""
