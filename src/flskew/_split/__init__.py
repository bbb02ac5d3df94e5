"""From labels to who holds which row."""
