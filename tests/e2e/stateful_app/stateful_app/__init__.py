"""Clients that disagree about the model, and strategies that keep state on them."""
