"""A figure or a table of a frontier says what the frontier claims."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import hybrid_rs as hrs

KERNEL = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
ONE, MANY = hrs.Counts((999,), n=1000), hrs.Counts((1000, 999, 998), n=1000)


@pytest.fixture(autouse=True)
def headless():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("counts", [ONE, MANY])
@pytest.mark.parametrize("simultaneous", [False, True])
def test_figure_and_table_carry_the_claim(counts, simultaneous):
    front = hrs.frontier_of(counts, KERNEL, sigma=1.0, tau=0.01, d_max=2, simultaneous=simultaneous)
    (caption,) = [text for text in front.plot().texts if text.get_gid() == "claim"]
    assert " ".join(caption.get_text().split()) == front.claim
    assert front.to_frame().attrs["claim"] == front.claim


def test_the_caption_stays_below_its_axes_and_inside_the_figure():
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    front = hrs.frontier_of(MANY, KERNEL, sigma=1.0, tau=0.01, d_max=2)
    for ax in axes:
        front.plot(ax)
    figure.canvas.draw()
    for ax in axes:
        box = ax.texts[-1].get_window_extent()
        assert box.y1 <= ax.xaxis.label.get_window_extent().y0
        assert box.y0 >= 0
    left, right = (ax.texts[-1].get_window_extent() for ax in axes)
    assert left.x1 < right.x0
    assert right.x1 <= figure.bbox.x1


def test_bars_are_labelled_by_floored_radii_and_what_is_not_certified_says_so():
    front = hrs.frontier(np.array([0.99954, 0.9, 0.5]), KERNEL, sigma=1.0, tau=0.01, d_max=2)
    texts = [text.get_text() for text in front.plot().texts]
    assert f"{hrs.floored(front.radius(0), 2):.2f}" in texts
    assert texts.count("none") == int(np.isnan(front.radii).sum()) == 1
