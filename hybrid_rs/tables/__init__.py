"""Certificates for tables with numeric and categorical features.

``linear`` is a linear classifier whose smoothed probability is known exactly; ``data`` loads the table it is tried on.
"""
