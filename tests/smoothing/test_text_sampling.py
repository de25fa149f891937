"""Several noisy texts for each noisy image: which draws they are, their law, and what whole certifications claim."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.certificates.commitment import pays, radii_committed
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.several_texts import certified_radius_texts, p_adv_texts
from hybrid_rs.evidence.text_counts import level_bounds
from hybrid_rs.smoothing import draws
from hybrid_rs.smoothing.text_sampling import drawn_texts, sample_texts

L0 = hrs.L0Threat(2)


def smoothed(threat=SUFFIX, guard=None, sigma=0.5, kernel=KERNEL):
    return hrs.SmoothedGuard(guard or ToyGuard(), kernel, sigma, threat)


def verdicts(n, texts, *, masked=False, batch_draws=256, seed=0, **how):
    guard = smoothed(**how)
    forced = guard.threat.conditions(EXAMPLE.token_ids.size) if masked else None
    return np.concatenate(list(drawn_texts(guard, EXAMPLE, n, texts, seed, batch_draws, forced=forced)))


@pytest.mark.parametrize("threat", [SUFFIX, L0])
@pytest.mark.parametrize("masked", [False, True])
def test_one_text_is_todays_draw_bit_for_bit_and_of_its_type(threat, masked):
    today = smoothed(threat).sample(EXAMPLE, 100, masked=masked)
    again = smoothed(threat).sample(EXAMPLE, 100, masked=masked, texts=1)
    assert type(again) is type(today)
    assert again == today
    if threat is SUFFIX:
        unsafe = today.unsafe
        one = sample_texts(smoothed(threat), EXAMPLE, 100, 1, masked=masked)
        assert one.reached == tuple((count,) for count in unsafe)


def test_a_text_is_a_function_of_its_numbers_alone():
    """Neither batches nor later images nor further texts change a draw; the first text is that of one text."""
    long = verdicts(150, 7, masked=True)
    assert long.shape == (150, 7, 5)
    assert np.array_equal(verdicts(150, 7, masked=True, batch_draws=1), long)
    assert np.array_equal(verdicts(70, 3, masked=True, batch_draws=2000), long[:70, :3])
    assert np.array_equal(verdicts(150, 7)[:, :, 0], long[:, :, 0])  # no condition: the clean law
    single = np.concatenate(list(smoothed().verdicts(EXAMPLE, 150)))
    assert np.array_equal(single[:, 0], long[:, 0, 0])
    assert not np.array_equal(verdicts(150, 7, masked=True, seed=1), long)
    assert all(not np.array_equal(long[:, i], long[:, j]) for i in range(7) for j in range(i))


@pytest.mark.parametrize("texts", [1, 2, 100])
def test_no_batch_has_more_large_images_than_fit_into_memory(texts, monkeypatch):
    guard = ToyGuard()
    monkeypatch.setattr(draws, "AT_ONCE", 64 * EXAMPLE.image.size)
    smoothed(guard=guard).sample(EXAMPLE, 200, texts=texts, batch_draws=100_000)
    assert [len(np.unique(images, axis=0)) for _, images in guard.seen] == [64, 64, 64, 8]


def test_a_text_that_is_too_long_is_named_however_many_texts_an_image_has():
    guard = ToyGuard()
    guard.max_length = 6  # the text has 3 tokens, and the slot 4
    for texts in (1, 2):
        with pytest.raises(ValueError, match="example 'toy/0' = 7 tokens with its slot: the guard can read at most 6"):
            smoothed(guard=guard).sample(EXAMPLE, 10, texts=texts)


class Recorder(ToyGuard):
    """A toy that takes images once each, and keeps which text went with which."""

    def unsafe(self, token_ids, images, image_index=None):
        assert image_index is not None
        self.seen.append((token_ids.copy(), images[image_index], image_index.copy(), len(images)))
        return (images[image_index].mean(axis=(1, 2, 3)) > 0.5) | ((token_ids == self.pad_id).sum(axis=1) < 2)


def test_texts_of_one_image_share_it_and_equal_ones_are_asked_once():
    guard = Recorder()
    found = verdicts(64, 5, guard=guard, masked=True)
    [(texts, _, index, images)] = guard.seen
    assert images == 64
    pairs = {(i, text.tobytes()) for i, text in zip(index, texts, strict=True)}
    assert len(pairs) == len(texts) < 64 * 5 * 5
    assert set(index) == set(range(64))
    assert np.array_equal(found, verdicts(64, 5, masked=True))  # as of a guard that is given an image for each text


def test_given_the_image_the_texts_are_independent_and_of_the_kernels_law():
    class FirstPad(ToyGuard):
        def unsafe(self, token_ids, images):
            return token_ids[:, 3] != self.pad_id

    n, m = 4000, 6
    flags = verdicts(n, m, guard=FirstPad(), sigma=0.0)[:, :, 0]
    seen = np.bincount(flags.sum(axis=1), minlength=m + 1)
    expected = n * binom.pmf(np.arange(m + 1), m, KERNEL.beta)
    assert ((seen - expected) ** 2 / expected).sum() < 25  # chi squared with 6 degrees: 0.999 quantile 22.5
    both = verdicts(n, m, guard=FirstPad(), sigma=0.0, masked=True)
    assert both[:, :, 1:].all()  # given that the first pad was replaced


def test_a_guard_that_sees_the_image_alone_is_certified_as_by_one_text_but_for_half_the_risk():
    class Bright(ToyGuard):
        def unsafe(self, token_ids, images):
            return images.mean(axis=(1, 2, 3)) > 0.3

    guard = smoothed(guard=Bright(), sigma=1.0)
    many = guard.certify(EXAMPLE, 500, texts=8, tau=0.05, masked=True)
    counts, law = guard.sample(EXAMPLE, 500, masked=True), {"sigma": 1.0, "tau": 0.05}
    alone, half = counts.p_s(0.005), counts.p_s(0.0025)  # p_S has the whole risk of a point, or shares it with p_A
    for d, radius in enumerate(many.radii):
        one = hrs.certified_radius(alone[d], KERNEL.likelihood_ratio(d, masked=True), **law)
        bound = alone[d]
        if d and pays(KERNEL, d, 500, 0.01, 0.05, 8):
            both = {0: half[:1], d: half[d : d + 1]}  # levels of one text
            one, bound = radii_committed(both, KERNEL, d, texts=True, **law)[0].min(), half[d]
        assert radius == pytest.approx(one, rel=1e-9, nan_ok=True)
        assert many.p[d] == pytest.approx(bound, rel=1e-12)


def test_the_frontier_says_what_it_rests_on():
    counts = hrs.TextCounts(((990, 950, 900), (980, 900, 800), (970, 800, 600)), n=1000)
    law = {"sigma": 0.5, "tau": 0.01, "d_max": 2}
    front = hrs.frontier_of(counts, KERNEL, **law)
    assert (front.texts, front.n, front.one_classifier, front.simultaneous) == (3, 1000, True, False)
    assert front.masked.all()
    assert "1000 images with 3 texts each" in front.claim
    levels, half = counts.levels(0.01), counts.levels(0.005)
    for d in range(3):
        both = d > 0 and pays(KERNEL, d, 1000, 0.01, 0.01, 3)
        assert front.p[d] == pytest.approx((half if both else levels)[d].mean())
        ratio = KERNEL.likelihood_ratio(d, masked=True)
        radius = certified_radius_texts((half if both else levels)[d], ratio, sigma=0.5, tau=0.01)
        assert front.radius(d) == pytest.approx(radius, rel=1e-12) or (both and front.radius(d) > radius)
    paid = hrs.frontier_of(counts, KERNEL, **law, simultaneous=True)
    assert paid.simultaneous
    assert np.all(paid.radii <= front.radii)
    assert paid.p == pytest.approx(counts.levels(0.01 / 3).mean(axis=1))
    # one row is of the clean law, serves every d with the plain ratio, and holds at all of them at once
    plain = hrs.frontier_of(hrs.TextCounts(counts.reached[:1], n=1000), KERNEL, **law)
    assert (plain.simultaneous, plain.masked.any()) == (True, False)
    assert plain.radius(0) == pytest.approx(front.radius(0), rel=1e-12)
    for d in (1, 2):
        ratio = KERNEL.likelihood_ratio(d)
        assert plain.radius(d) == pytest.approx(
            certified_radius_texts(levels[0], ratio, sigma=0.5, tau=0.01), rel=1e-9, nan_ok=True
        )
    with pytest.raises(ValueError, match=r"^d_max = 3: "):
        hrs.frontier_of(counts, KERNEL, sigma=0.5, tau=0.01, d_max=3)
    with pytest.raises(ValueError, match=r"^other\.texts = 1: "):
        front.best(replace(front, texts=1))
    with pytest.raises(ValueError, match=r"^counts = "):
        frontiers_of([counts, hrs.TextCounts(((3, 2), (1, 1), (0, 0)), n=4)], KERNEL, **law)


@pytest.mark.parametrize("threat", [SUFFIX, L0])
def test_certify_is_sampling_then_the_frontier(threat):
    guard, law = smoothed(threat), {"tau": 0.01, "alpha": 0.05}
    front = guard.certify(EXAMPLE, 200, texts=4, seed=3, **law)
    again = guard.frontier(guard.sample(EXAMPLE, 200, texts=4, seed=3), **law)
    assert np.array_equal(front.radii, again.radii, equal_nan=True)
    assert (front.example, front.threat, front.texts, front.alpha) == (EXAMPLE.id, threat, 4, 0.05)


def test_whole_certifications_are_false_no_more_often_than_their_risk():
    """A guard whose attacked value is known: flags while image noise plus 0.4 per replaced token stays below 1."""
    rng, runs, n, m, alpha, beta, s = np.random.default_rng(0), 10_000, 60, 6, 0.05, 0.4, 0.6
    ratio = hrs.UniformKernel(beta, 50).likelihood_ratio(1, masked=True)
    others = np.arange(6)
    chance = binom.pmf(others, 5, beta)  # of six tokens the first is in S: where it was kept, the guard never flags
    limit = 1.0 - 0.4 * others
    truth = beta * chance @ ndtr(limit - s)  # he leaves that token alone, and shifts the image
    cuts = rng.standard_normal((runs, n))
    h = (cuts[:, :, None] <= limit) @ chance
    k = rng.binomial(m, np.minimum(h, 1.0))
    reached = (k[:, :, None] >= np.arange(1, m + 1)).sum(axis=1)
    bound = p_adv_texts(level_bounds(reached, n, alpha), s, ratio, sigma=1.0)
    false = (bound > truth).mean()
    assert false <= alpha
    assert false > 0  # and some are: the bounds are not idle
    assert np.median(bound) > 0.5 * truth


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: smoothed().sample(EXAMPLE, 10, texts=0), "texts"),
        (lambda: smoothed().sample(EXAMPLE, 10, texts=1.5), "texts"),
        (lambda: smoothed().sample(EXAMPLE, 0, texts=2), "n"),
        (lambda: smoothed().sample(EXAMPLE, 10, texts=2, batch_draws=0), "batch_draws"),
        (lambda: smoothed().sample(EXAMPLE, 10, texts=2, seed=-1), "seed"),
        (lambda: smoothed(NESTED).sample(EXAMPLE, 10, texts=2), "threat"),
        (lambda: smoothed().certify(EXAMPLE, 10, texts=2, tau=2.0), "tau"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()
