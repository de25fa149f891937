"""What a pilot lets one expect: fewer texts are a thinning of more, and the best plan is found without certifying."""

import numpy as np
import pytest
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.decisions.text_plan import expected_counts, expected_radii
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts, images_of_size, texts_of_size

KERNEL = hrs.UniformKernel(0.5, 32_000)
LAW = {"sigma": 0.5, "tau": 0.05}


def drawn(h, n, texts, rng):
    """Counts of n images, each of which has one of the shares ``h``."""
    return hrs.TextCounts.from_flagged(rng.binomial(texts, rng.choice(h, n))[:, None], texts)


@pytest.mark.parametrize("texts", [1, 3, 8])
def test_thinning_follows_the_law_of_fewer_texts(texts):
    h, rng, n = np.array([0.3, 0.8, 0.99]), np.random.default_rng(0), 100_000
    expected = expected_counts(drawn(h, n, 8, rng), texts, n)
    truth = binom.sf(np.arange(texts)[:, None], texts, h).mean(axis=1)
    assert np.array(expected.reached[0]) / n == pytest.approx(truth, abs=0.005)  # three standard deviations
    assert (expected.texts, expected.n, expected.seed) == (texts, n, None)


def test_as_many_texts_and_images_are_the_pilot_itself():
    pilot = hrs.TextCounts(((100, 80, 60, 20), (90, 70, 70, 10)), n=100, example="a", seed=3)
    assert expected_counts(pilot, 4, 100) == pilot
    assert expected_counts(pilot, 4, 1).reached == ((1, 0, 0, 0), (0, 0, 0, 0))
    one = expected_counts(pilot, 1, 400)  # the mean share
    assert one.reached == ((sum(pilot.reached[0]),), (sum(pilot.reached[1]),))


def test_the_radius_is_that_of_the_expected_counts_and_several_texts_win_where_the_text_decides():
    rng = np.random.default_rng(1)
    decides = {"text": drawn(np.array([0.9]), 400, 16, rng), "image": drawn(np.array([1.0] * 9 + [0.0]), 400, 16, rng)}
    plans = {1: 16_000, 4: 4_000, 16: 1_000}  # as many evaluations
    for name, pilot in decides.items():
        radii = expected_radii(pilot, plans, KERNEL, d=0, **LAW)
        for texts, n in plans.items():
            counts = expected_counts(pilot, texts, n)
            assert radii[texts] == hrs.frontier_of(counts, KERNEL, d_max=0, **LAW).radius(0)
        assert (max(radii, key=radii.get) == 1) is (name == "image")


def test_where_positions_are_unknown_each_size_is_thinned_by_itself():
    """A guard that ignores the text: at full size the pilot is found again; one text gives the counts of one text."""
    rng, beta, length = np.random.default_rng(2), 0.5, 6
    replaced = rng.random((400, 8, length)) < beta
    flagged = np.repeat(rng.random(400) < 0.95, 8).reshape(400, 8)
    pilot = SubsetTextCounts.from_draws(flagged, replaced, 2, beta)
    assert expected_counts(pilot, 8, 400) == pilot
    fewer = expected_counts(pilot, 4, 800)
    assert [len(row) for row in fewer.reached] == [texts_of_size(4, beta, j) for j in range(3)]
    for row, j in zip(fewer.reached, range(3), strict=True):
        share = pilot.reached[j][0] / pilot.images(j)  # the image decides: all levels are alike
        assert np.array(row) == pytest.approx(images_of_size(800, 4, beta, j) * share, abs=1)
    one = expected_counts(pilot, 1, 3_200)
    assert isinstance(one, hrs.SubsetCounts)
    missed = 1 - np.array([row[0] / pilot.images(j) for j, row in enumerate(pilot.reached)])
    assert np.array(one.safe) == pytest.approx(3_200 * beta ** np.arange(3) * missed, abs=1)
    radii = expected_radii(pilot, {1: 3_200, 4: 800, 8: 400}, hrs.UniformKernel(beta, 32_000), d=1, **LAW)
    assert max(radii, key=radii.get) == 1  # there is nothing to gain from more texts


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda p: expected_counts(p, 0, 10), "texts"),
        (lambda p: expected_counts(p, 3, 10), "texts"),
        (lambda p: expected_counts(p, 2, 0), "n"),
        (lambda p: expected_counts(hrs.Counts((1,), 2), 1, 10), "pilot"),
        (lambda p: expected_radii(p, [1, 2], KERNEL, d=0, **LAW), "plans"),
        (lambda p: expected_radii(p, {1: 10}, KERNEL, d=0, sigma=0.5, tau=2.0), "tau"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call(hrs.TextCounts(((9, 8),), n=10))
