"""Clients whose rows change from round to round, and one that is away."""
