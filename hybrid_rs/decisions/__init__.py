"""Choices to make before and during drawing: how many draws, which threshold, when to stop.

``plan`` and ``sample_size`` compute how many draws a target needs, and ``text_plan`` how many texts for each image.
``decide`` and ``watch`` stop as soon as the draws suffice; ``decide_sets`` and ``watch_sets`` do so where the edited
positions are unknown. ``calibrate`` chooses a threshold, and ``select`` a design, from draws that are not used to
certify.
"""
