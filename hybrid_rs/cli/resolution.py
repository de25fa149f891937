"""Sentences about the sizes of a table's images: in which pixels a radius is measured, and its size per value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid_rs.smoothing.example import Example

STEPS = 255  # an 8-bit image has steps of 1 / 255


def per_value(radius: float, size: int) -> float:
    """Return the root mean square change of ``size`` pixel values that an l2 distance allows, never rounded up.

    Example:
        >>> per_value(2.0, 4) <= 1.0, round(per_value(2.0, 4), 9)
        (True, 1.0)
    """
    return radius if math.isnan(radius) or math.isinf(radius) else math.nextafter(radius / math.sqrt(size), 0.0)


@dataclass
class Resolutions:
    """The sizes of the images of a table.

    Args:
        shapes: shapes (channels, height, width) that were seen.
    """

    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def add(self, example: Example) -> None:
        """Count the image of an example."""
        self.shapes.add(example.image.shape)

    def lines(self, epsilon: float | None = None) -> list[str]:
        """Say in which pixels budgets and radii are measured.

        Args:
            epsilon: an image budget that holds for all images; None if each has its own radius.

        Example:
            >>> Resolutions({(3, 8, 8)}).lines()
            ['Image distances are l2 over the 3 x 8 x 8 pixel values of an image, each in [0, 1].']
        """
        if not self.shapes:
            return []
        ordered = sorted(self.shapes, key=lambda shape: (math.prod(shape), shape))
        if len(ordered) == 1:
            channels, height, width = ordered[0]
            where = f"the {channels} x {height} x {width} pixel values of an image, each in [0, 1]"
            return [f"Image distances are l2 over {where}."]
        small, large = (f"{height} x {width}" for _, height, width in (ordered[0], ordered[-1]))
        said = [
            f"The images have {len(ordered)} sizes, from {small} to {large}. An image distance is l2 over all pixel "
            "values of that image, each in [0, 1]: the same distance is a smaller change per pixel of a larger image."
        ]
        if epsilon is not None:
            most, least = (STEPS * epsilon / math.sqrt(math.prod(shape)) for shape in (ordered[0], ordered[-1]))
            said.append(
                f"epsilon = {epsilon:g} is a root mean square change of {most:.3g} steps of 1 / 255 per pixel value at "
                f"{small}, and of {least:.3g} at {large}."
            )
        return said
