"""Certificates for tables with numeric and categorical features.

``data`` loads a table, and ``lattice`` is the noise on its numbers. ``linear`` is a linear classifier, whose smoothed
probability and worst attack ``exact`` computes.
"""
