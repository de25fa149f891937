"""BayOrders: a second data set, never used for training: other texts and pictures, the same rules as BayNotes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from hybrid_rs._checks import flag, integer
from hybrid_rs.small_guard.language import FAMILIES, encode, fill
from hybrid_rs.small_guard.notes import BAYS, IMAGE_SHAPE, MOST, forbidden, scans
from hybrid_rs.smoothing.example import Example, eight_bits

TEMPLATES = (
    "{name} , is {good} here ?",
    "will you hold {good} and {good} here until {time} ?",
    "please put {count} {container} of {good} in this bay before {time} .",
    "{role} {name} : look for {count} {container} with {good} on them , then put {good} up here , please .",
    "{time} : {name} {verb} {count} {container} . {time} : the {role} found {good} by the {place} . "
    "{time} : {name} keeps {good} here . {time} : all signed .",
    "list : {time} , {role} {name} at the {place} ; {time} , {count} {adjective} {container} {verb} ; "
    "{time} , {good} {verb} ; {time} , {name} asked for {count} {container} more ; {time} , {good} found under them .",
)
"""Questions, orders and log entries of 6 to 38 words that name goods once or twice."""

NEUTRAL_TEXT = "please look at the label ."
"""A text that names no goods, for :func:`hybrid_rs.datasets.interaction.interaction_only`."""

PAPER = (0.7, 1.0)  # per colour channel; BayNotes has 0.85 to 1.0
PEN = (0.0, 0.4)
SIDE = (22.0, 28.0)  # pixels that a scan is enlarged to; BayNotes has 26
TILT = 10.0  # degrees to either side; BayNotes has none

_FAMILY_NAMES = tuple(FAMILIES)
_SEED = 20_261  # makes the random streams differ from those of BayNotes


def blank_image() -> NDArray[np.float32]:
    """Return empty paper of the middle colour, shape ``(3, 32, 32)``, pixel units [0, 1]."""
    return np.full(IMAGE_SHAPE, sum(PAPER) / 2, dtype=np.float32)


def draw_image(rng: np.random.Generator, scan: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw a scan, tilted, in a random size, anywhere on coloured paper.

    Args:
        rng: the source of paper, pen, tilt, size and place.
        scan: shape ``(8, 8)``, ink from 0 to 1.

    Returns:
        shape ``(3, 32, 32)``, float32, in [0, 1], of 8 bits a channel.
    """
    height = IMAGE_SHAPE[1]
    side, tilt = rng.uniform(*SIDE), np.deg2rad(rng.uniform(-TILT, TILT))
    centre = rng.uniform(side / 2, height - side / 2, size=2) - 0.5
    turned = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]) * len(scan) / side
    middle = (len(scan) - 1) / 2
    ink = affine_transform(scan, turned, offset=middle - turned @ centre, output_shape=IMAGE_SHAPE[1:], order=1)
    paper, pen = rng.uniform(*PAPER, size=(3, 1, 1)), rng.uniform(*PEN, size=(3, 1, 1))
    return eight_bits(paper + (pen - paper) * np.clip(ink, 0, 1))


def examples(n: int, seed: int = 0, unsafe: bool | None = None) -> list[Example]:
    """Return the first n examples of an endless sequence that the seed determines.

    Example i depends only on (seed, i). Bay and family are uniform and independent, so that each modality alone allows
    exactly 50 % accuracy, as in BayNotes. The scans are those of BayNotes' test split. The goods are all six cue words
    of a family, and all words are in BayNotes' vocabulary.

    Args:
        n: how many, at least 0.
        seed: which sequence, at least 0.
        unsafe: True or False for only unsafe or only safe examples; None for all.

    Returns:
        n examples with ids ``bay_orders/{seed}/{index}`` and images of shape ``(3, 32, 32)``.

    Raises:
        ValueError: if n or seed is not a whole number of at least 0.

    Example:
        >>> examples(5)[4].text
        'david , is dynamite here ?'
    """
    unsafe = None if unsafe is None else flag("unsafe", unsafe)
    n, seed = integer("n", n, 0, MOST), integer("seed", seed, 0)
    found: list[Example] = []
    index = 0
    while len(found) < n:
        rng = np.random.default_rng([_SEED, seed, index])
        bay, family = int(rng.integers(BAYS)), int(rng.integers(len(_FAMILY_NAMES)))
        label = forbidden(bay, family)
        if unsafe in (None, label):
            text = fill(rng, TEMPLATES, FAMILIES[_FAMILY_NAMES[family]])
            image = draw_image(rng, rng.choice(scans("test")[bay]))
            found.append(Example(f"bay_orders/{seed}/{index}", encode(text), image, label, text))
        index += 1
    return found
