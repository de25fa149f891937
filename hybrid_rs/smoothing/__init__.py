"""A guard and its noise: examples, noisy draws, and the smoothed guard.

Noise is drawn in ``draws``; ``lattice`` has the law of the rounded Gaussian, and ``device`` draws it on a GPU.
``text_sampling`` draws several noisy texts per noisy image. ``smoothed_guard`` counts the guard's answers and
certifies. ``guard`` says what a guard must offer, and ``answers`` checks what it returns. ``together`` and ``margins``
count for several kernels, or several margins, on the same noise.
"""
