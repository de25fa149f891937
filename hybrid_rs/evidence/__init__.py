"""What draws say about a probability: counts, and the confidence bounds that they support.

A count becomes a bound here. ``counts``, ``subset_counts``, ``text_counts`` and ``subset_text_counts`` hold what was
counted; each kind computes its own bounds. ``clopper_pearson`` has the bound for a fixed number of draws.
``confidence_sequences`` has bounds that hold at any time, and ``score_means`` has those for the mean of a score.
"""
