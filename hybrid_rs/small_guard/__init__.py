"""BayNotes and its guard: the small task on which every experiment runs.

BayNotes is made in ``notes``, with its vocabulary and templates in ``language``. ``orders`` and ``lengths`` are
variants of it. ``guard`` loads the small guard, ``training`` trains it, and ``evaluation`` measures it.
"""
