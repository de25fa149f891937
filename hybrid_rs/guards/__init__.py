"""Guards: the base classifiers that are smoothed. Loading one imports torch; the protocol does not."""
