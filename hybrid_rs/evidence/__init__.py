"""What draws say about a probability: counts, and the confidence bounds that they support.

A count becomes a bound here. ``counts``, ``subset_counts`` and ``text_counts`` hold what was counted; each kind knows
its own bounds. ``clopper_pearson`` has the bound for a fixed number of draws, ``confidence_sequences`` those that hold
at any time, ``score_means`` those for the mean of a score.
"""
