"""A guard and its noise: examples, draws, and the smoothed guard."""
