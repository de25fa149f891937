"""BayNotes and its guard: the small task on which every experiment runs.

``notes`` makes BayNotes; its vocabulary and templates are in ``language``. ``orders`` and ``lengths`` are variants of
it. ``guard`` loads the small guard, ``training`` trains it, and ``evaluation`` measures it.
"""
