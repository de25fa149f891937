"""How many draws, which threshold, which design: planned, decided, watched, calibrated, selected."""
