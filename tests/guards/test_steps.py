"""Arithmetic in steps: places among parts, and steps that are joined, give the numbers of a plain calculation."""

import numpy as np
import pytest
import torch
from PIL import Image

from hybrid_rs.guards.steps import Places, Step, filter_matrix, fused


@pytest.mark.parametrize("seed", range(20))
def test_places_among_parts_are_places_in_all_parts_put_together(seed):
    rng = np.random.default_rng(seed)
    sizes = [1, *rng.integers(1, 9, rng.integers(1, 6))]
    parts = [torch.from_numpy(rng.standard_normal((2, size))) for size in sizes]
    starts = (np.cumsum(sizes) - sizes).tolist()
    numbers = rng.integers(0, rng.integers(1, sum(sizes) + 1), (2, 3, 4))
    found = Places.among(numbers, starts)
    assert len(found.parts) <= np.unique(np.searchsorted(starts, numbers, side="right")).size
    torch.testing.assert_close(found.taken(parts), torch.cat(parts, dim=1)[:, numbers], atol=0, rtol=0)


def run(steps, places, pixels):
    parts = [pixels.new_zeros((len(pixels), 1)), pixels]
    for step in steps:
        parts.append(None if step is None else step.made(parts))
    return places.taken(parts)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_steps_are_joined_where_nothing_else_needs_the_first(elsewhere):
    """An image of 3 x 4 x 4 is resized to 2 x 6, scaled, and normalised; ``elsewhere`` needs what was only scaled."""
    factors = np.array([2.0, 3.0, 4.0]).reshape(3, 1, 1)
    starts = [0, 1, 49, 85, 121]
    whole = [np.arange(start, start + 36).reshape(3, 2, 6) for start in starts[2:]]
    steps = [
        Step(Places.among(np.arange(1, 49).reshape(3, 4, 4), starts), (2, 6), 2, np.array(1.0), np.array(0.0)),
        Step(Places.among(whole[0], starts), (2, 6), 0, np.array(0.5), np.array(1.0)),
        Step(Places.among(whole[1], starts), (2, 6), 0, factors, -factors),
    ]
    wanted = np.concatenate([whole[2].ravel(), whole[1].ravel()[:1] if elsewhere else [], [0]]).astype(np.int64)
    places = Places.among(wanted, starts)
    joined = fused(steps, places)
    assert [step is None for step in joined] == [True, not elsewhere, False]
    pixels = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 48)))
    torch.testing.assert_close(run(joined, places, pixels), run(steps, places, pixels))


@pytest.mark.parametrize("way", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(("size", "new"), [(5, 9), (9, 5), (7, 7)])
def test_a_matrix_for_each_axis_resizes_as_pillow_does(way, size, new):
    image = np.random.default_rng(0).random((size, size + 3), dtype=np.float32)
    expected = np.array(Image.fromarray(image).resize((new + 2, new), Image.Resampling(way)))
    rows, columns = filter_matrix(size, new, way), filter_matrix(size + 3, new + 2, way)
    np.testing.assert_allclose(rows @ image @ columns.T, expected, atol=1e-5)
