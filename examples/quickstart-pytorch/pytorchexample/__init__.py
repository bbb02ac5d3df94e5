"""Flower's PyTorch quickstart, on a split of your choice."""
