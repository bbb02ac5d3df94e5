"""Flower's JAX quickstart, on a Dirichlet split."""
