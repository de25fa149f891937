"""Guards: the base classifiers that are smoothed. Loading one imports torch; the protocol does not.

``vlm`` is a vision-language model that answers safe or unsafe; ``checkpoint`` loads one from disk, ``prompt`` finds the
token ids around the untrusted text, and ``llava`` and ``llava_onevision`` prepare images. ``denoised`` puts a denoiser
before a guard; ``pipeline`` makes a guard of a scikit-learn classifier. ``identity`` computes what tells two apart.
"""
