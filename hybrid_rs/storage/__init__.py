"""Finished work on disk, the engines that draw, and exchange with other tools.

Every store is a file of JSON lines, written in ``records``. ``counts``, ``streams`` and ``attacks`` say what their
lines hold, and ``questions`` what tells one line from another. ``engines`` does the ``units`` of work, in this process
or on a Ray cluster. ``exchange`` reads and writes the formats of other tools.
"""
