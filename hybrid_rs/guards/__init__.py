"""Guards: the base classifiers that are smoothed. Loading one imports torch; the protocol does not.

``vlm`` is a vision-language model that answers safe or unsafe; ``checkpoint`` loads one from disk, and ``trial`` tests
it. ``families`` lists what loads, and ``measured`` compares a guard with its stock model. ``quantised`` loads weights
in fewer bits, and ``spread`` puts them on several devices. ``reasoning`` parses the verdict from a generated answer.
``native`` takes every image in its own size, and ``forwarding`` is for guards that wrap a guard. ``wording`` has the
words of a prompt, and presets; ``prompt`` finds the token ids around the untrusted text; ``alphabet`` the ids that
noise may write. ``llava``, ``llava_onevision`` and, for other families, ``stock_images`` and ``steps`` prepare images;
``llama4`` is an image processor that ``transformers`` has for torchvision alone. ``denoised`` puts a denoiser before a
guard, and ``guided_diffusion`` converts one; ``pipeline`` makes a guard of a scikit-learn classifier. ``endpoint`` asks
a server; ``spelling`` says what a token is there, and ``transport`` sends the requests. ``identity`` computes the
digests that distinguish guards.
"""
