"""What draws say of a probability: counts, and the bounds they support."""
