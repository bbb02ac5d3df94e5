"""Models as NumPy arrays and as Flower's records."""
