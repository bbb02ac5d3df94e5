"""Labels in, rows of each partition out: what all partitioners build on."""
