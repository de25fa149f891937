"""Choices to make before and during drawing: how many draws, which threshold, when to stop.

``plan`` and ``sample_size`` say how many draws a target needs. ``decide`` and ``watch`` stop as soon as the draws
suffice. ``calibrate`` chooses a threshold, and ``select`` a design, from draws that do not certify.
"""
