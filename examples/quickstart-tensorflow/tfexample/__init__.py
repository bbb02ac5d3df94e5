"""Flower's TensorFlow quickstart, on a Dirichlet split."""
