"""Alternatives to the joint certificate, to compare it with.

``unimodal`` smooths image or text alone, ``composition`` combines two such certificates, and ``subsampling`` with
``mmcert`` certifies by random subsets of pixels and tokens.
"""
