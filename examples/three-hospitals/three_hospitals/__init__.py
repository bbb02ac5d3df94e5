"""Three hospitals, each of which has never seen three of the ten digits, learn all ten together."""
