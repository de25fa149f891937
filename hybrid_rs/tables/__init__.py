"""Certificates for tables: numeric and categorical features, and a classifier whose truth is known."""
