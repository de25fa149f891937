"""From a probability to a certificate: kernels, likelihood ratios, the worst case, and checks of the result.

The radius is found in ``worst_case``, from the likelihood ratio of a kernel (``likelihood_ratio``, ``kernels``). To add
a kernel, start with ``kernels``; to add a threat, with ``threats``. ``frontier`` holds one radius per text budget, and
``frontier_of`` makes it from counts. ``certificate`` makes one claim; ``verification`` checks it rigorously.
"""
