"""How to cite the software and the paper, and the version that is running."""

from __future__ import annotations

SOFTWARE = r"""@software{hybrid_rs,
  title   = {NAME: certified robustness under joint token and image perturbations, by hybrid randomized smoothing},
  author  = {{The NAME authors}},
  version = {VERSION},
  year    = {2026},
  license = {MIT}
}"""
PAPER = """@inproceedings{delattre2026hybrid,
  title     = {Certified Robustness under Heterogeneous Perturbations via Hybrid Randomized Smoothing},
  author    = {Delattre, Blaise and Wu, Hengyu and Caillon, Paul and Lim, Wei Yang Bryan and Cao, Yang},
  booktitle = {International Conference on Machine Learning},
  year      = {2026},
  note      = {arXiv:2605.12876},
  url       = {https://arxiv.org/abs/2605.12876}
}"""


def citation() -> str:
    """Return two BibTeX entries: this software in the version that is running, and the paper for the method.

    Example:
        >>> import hybrid_rs as hrs
        >>> print(hrs.citation())
        @software{hybrid_rs,
        ...
        @inproceedings{delattre2026hybrid,
        ...
    """
    software = SOFTWARE.replace("NAME", r"hybrid\_rs").replace("VERSION", version())
    return f"{software}\n\n{PAPER}"


def version() -> str:
    """Return the version of the package; "unknown" where it is used from the source tree without being installed."""
    from importlib import metadata

    try:
        return metadata.version("hybrid_rs")
    except metadata.PackageNotFoundError:
        return "unknown"
