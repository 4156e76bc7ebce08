"""Data sets: real, semi-synthetic and simulated, each with a card that says what it is."""
