"""BayNotes and its guard: the small, honest task on which every experiment runs."""
