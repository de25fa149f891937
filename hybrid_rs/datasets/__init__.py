"""Data sets of (text, image) examples."""
