"""Subsampling: the certificate against every adversary and guard on tiny inputs, and draws that are exactly uniform."""

from fractions import Fraction
from itertools import combinations, product
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chisquare

import hybrid_rs as hrs
from hybrid_rs.baselines.mmcert import SubsamplingLaw, log_untouched, pixels_within
from hybrid_rs.baselines.subsampling import SubsampledGuard, Subsamples, Subsampling
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.storage.counts import CountsStore

FILL = -1


def untouched(total, kept, touched):
    return Fraction(comb(total - touched, kept), comb(total, kept))


def shown(x, law):
    """All pairs of an ablated text and an ablated image of an input x = (text, image), each equally likely."""
    texts, images = (
        [tuple(v if i in keep else FILL for i, v in enumerate(part)) for keep in combinations(range(len(part)), k)]
        for part, k in zip(x, (law.keep_tokens, law.keep_pixels), strict=True)
    )
    return list(product(texts, images))


def inputs(x, r_tokens, r_pixels, values):
    """All inputs within the budgets."""
    text, image = x
    return [
        (a, b)
        for a in product(values, repeat=len(text))
        if sum(u != v for u, v in zip(a, text, strict=True)) <= r_tokens
        for b in product(values, repeat=len(image))
        if sum(u != v for u, v in zip(b, image, strict=True)) <= r_pixels
    ]


def value(guard, x, law):
    seen = shown(x, law)
    return Fraction(sum(guard[s] for s in seen), len(seen))


@pytest.mark.parametrize("sizes", [(3, 1, 3, 1), (3, 2, 3, 1), (2, 1, 4, 2), (3, 0, 3, 2), (2, 2, 2, 1)])
def test_no_guard_and_no_adversary_on_tiny_inputs_goes_below_the_certificate(sizes):
    law, rng = SubsamplingLaw(*sizes), np.random.default_rng(1)
    x, values = ((0,) * law.tokens, (0,) * law.pixels), (0, 1)
    everything = product(product((*values, FILL), repeat=law.tokens), product((*values, FILL), repeat=law.pixels))
    domain = list(everything)
    for share in (0.3, 0.7, 0.9, 0.97):
        for _ in range(8):
            guard = dict(zip(domain, rng.random(len(domain)) < share, strict=True))
            for s in shown(x, law):  # often unsafe where it is clean, so that the certificate has something to say
                guard[s] |= rng.random() < share
            p_a = value(guard, x, law)
            for r_tokens, r_pixels in product(range(min(law.tokens, 2) + 1), range(min(law.pixels, 2) + 1)):
                least = min(value(guard, attacked, law) for attacked in inputs(x, r_tokens, r_pixels, values))
                assert law.p_adv(float(p_a), r_tokens, r_pixels) <= least + 1e-15


@pytest.mark.parametrize("sizes", [(3, 1, 3, 1), (3, 2, 4, 1), (4, 2, 4, 2)])
@pytest.mark.parametrize("budgets", [(0, 1), (1, 0), (1, 1), (2, 1)])
def test_a_guard_attains_the_certificate_exactly(sizes, budgets):
    law, clean = SubsamplingLaw(*sizes), ((0,) * sizes[0], (0,) * sizes[2])
    text, image = ((1,) * r + (0,) * (n - r) for r, n in zip(budgets, (law.tokens, law.pixels), strict=True))
    before, after = shown(clean, law), shown((text, image), law)
    common = [s for s in before if s in after]
    omega = untouched(law.tokens, law.keep_tokens, budgets[0]) * untouched(law.pixels, law.keep_pixels, budgets[1])
    assert Fraction(len(common), len(before)) == omega
    for missing in range(len(common) + 1):  # unsafe at the clean input but for some that the adversary cannot touch
        guard = dict.fromkeys(after, False) | dict.fromkeys(before, True) | dict.fromkeys(common[:missing], False)
        p_a = value(guard, clean, law)
        attained = value(guard, (text, image), law)
        assert attained == max(0, p_a - (1 - omega))
        assert law.p_adv(float(p_a), *budgets) == pytest.approx(float(attained), abs=1e-14)


@given(st.integers(1, 3000), st.data())
def test_the_probability_of_no_touch_is_the_exact_one_rounded_down(total, data):
    kept, touched = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    exact = untouched(total, kept, touched)
    log_omega = float(log_untouched(total, kept, touched))
    if exact == 0:
        assert log_omega == -np.inf
    elif exact > Fraction(1, 10**300):
        assert Fraction(float(np.exp(log_omega))) <= exact * (1 + Fraction(1, 10**15))
        assert log_omega == pytest.approx(float(np.log(float(exact))), rel=1e-11, abs=1e-15)


def test_it_is_symmetric_in_what_is_kept_and_what_is_touched_also_at_the_size_of_a_photograph():
    total = 336 * 336
    for kept, touched in ((10, 5000), (3000, 40_000), (56_448, 12)):
        one, other = log_untouched(total, kept, touched), log_untouched(total, touched, kept)
        assert one == pytest.approx(other, rel=1e-10)
    exact = prod(Fraction(total - 56_448 - i, total - i) for i in range(12))
    assert np.exp(log_untouched(total, 56_448, 12)) == pytest.approx(float(exact), rel=1e-12)


@given(st.floats(0, 1), st.integers(0, 12), st.integers(0, 30), st.integers(0, 12), st.integers(0, 30))
def test_it_is_the_neyman_pearson_bound_of_its_likelihood_ratio(p_a, k1, k2, r1, r2):
    law = SubsamplingLaw(12, k1, 30, k2)
    omega = float(untouched(12, k1, r1) * untouched(30, k2, r2))
    ratio = LikelihoodRatio.from_masses([omega, 1 - omega, 0.0], [omega, 0.0, 1 - omega])
    assert law.p_adv(p_a, r1, r2) == pytest.approx(float(hrs.p_adv(p_a, 0.0, ratio, sigma=1.0)), abs=1e-12)


@given(st.floats(0.5, 1), st.integers(0, 20), st.integers(0, 64), st.integers(0, 5))
def test_for_a_majority_vote_it_is_the_two_class_condition(p_a, k1, k2, r1):
    law = SubsamplingLaw(20, k1, 64, k2)
    for r2 in range(65):
        delta = 1 - untouched(20, k1, r1) * untouched(64, k2, r2)
        margin = (Fraction(p_a) - delta) - (1 - Fraction(p_a) + delta)
        certified = law.certified_pixels(p_a, r1, tau=0.5) >= r2
        if abs(margin) > 1e-12:
            assert certified == (margin > 0)


def test_an_l2_adversary_who_touches_every_pixel_leaves_nothing_unless_no_pixel_is_kept():
    law = SubsamplingLaw(20, 5, 1024, keep_pixels=1)
    assert law.p_adv(1.0, 0, 1024) == 0.0
    assert SubsamplingLaw(20, 5, 1024, keep_pixels=0).p_adv(1.0, 0, 1024) == 1.0


def test_so_many_changed_pixels_stay_within_an_l2_budget_and_one_more_can_leave_it():
    rng = np.random.default_rng(0)
    image = rng.random((3, 4, 4)).astype(np.float32)
    for epsilon in (0.0, 0.7, 1.3, 2.2, 3.1, 20.0):
        r = int(pixels_within(image, epsilon))
        far = np.where(image < 0.5, 1.0, 0.0)  # as far as a pixel goes
        cost = ((far - image.astype(np.float64)) ** 2).sum(axis=0).ravel()
        for _ in range(50):
            assert cost[rng.permutation(16)[:r]].sum() <= epsilon**2 * (1 + 1e-12)
        worst = np.sort(cost)[::-1]
        assert worst[:r].sum() <= epsilon**2
        assert r == 16 or worst[: r + 1].sum() > epsilon**2
    assert pixels_within(image, np.nan) == -1


class Recorder:
    """Keeps what it is shown."""

    alphabet, pad_id, mask_id = np.arange(10), 0, None

    def __init__(self):
        self.texts, self.images = [], []

    def unsafe(self, token_ids, images):
        self.texts.append(token_ids.copy())
        self.images.append(images.copy())
        return (token_ids > 0).sum(axis=1) > 0


def example(length=4, side=2):
    pixels = np.linspace(0.6, 1, 3 * side**2, dtype=np.float32).reshape(3, side, side)
    return hrs.Example("e", np.arange(1, length + 1), pixels)


def drawn(kernel, n=4000, **options):
    guard = Recorder()
    counts = SubsampledGuard(guard, kernel).sample(example(), n, **options)
    return counts, np.concatenate(guard.texts), np.concatenate(guard.images)


def test_every_pair_of_subsets_is_equally_likely_and_channels_go_together():
    counts, texts, images = drawn(Subsampling(2, 1, token_fill=0, pixel_fill=0.25))
    kept = images != 0.25
    assert np.all(kept == kept[:, :1])
    assert np.all(kept[:, 0].sum(axis=(1, 2)) == 1)
    assert np.all((texts != 0).sum(axis=1) == 2)
    clean = example()
    assert np.all((texts == clean.token_ids) | (texts == 0))
    assert np.all(np.where(kept, clean.image, np.float32(0.25)) == images)
    code = ((texts != 0) @ 2 ** np.arange(4)) * 4 + kept[:, 0].reshape(-1, 4).argmax(axis=1)
    seen, frequency = np.unique(code, return_counts=True)
    assert seen.size == 6 * 4
    assert chisquare(frequency).pvalue > 1e-3
    assert counts == hrs.Counts((4000,), 4000)


def test_a_draw_is_a_function_of_seed_example_and_number_alone():
    kernel = Subsampling(2, 1, token_fill=0)
    _, texts, images = drawn(kernel, 300, seed=3)
    _, short, _ = drawn(kernel, 100, seed=3, batch_draws=64)
    _, other, _ = drawn(kernel, 300, seed=4)
    assert np.array_equal(texts[:100], short)
    assert not np.array_equal(texts, other)
    _, again, same = drawn(kernel, 300, seed=3, batch_draws=1)
    assert np.array_equal(texts, again)
    assert np.array_equal(images, same)


def test_a_short_text_is_kept_whole_and_the_law_says_so():
    kernel = Subsampling(99, 3, token_fill=0)
    _, texts, _ = drawn(kernel, 64)
    assert np.all(texts == example().token_ids)
    assert kernel.law(example()) == SubsamplingLaw(4, 4, 4, 3)


def test_the_store_keeps_its_counts_apart_by_what_is_kept_and_what_fills(tmp_path):
    store = CountsStore(tmp_path / "counts.jsonl", "c", Subsamples())
    kernels = [Subsampling(2, 1, 0), Subsampling(2, 2, 0), Subsampling(2, 1, 5), Subsampling(2, 1, 0, 1.0)]
    first = [store.sample(SubsampledGuard(Recorder(), k), [example()], n=64, progress=False) for k in kernels]
    again = CountsStore(store.path, "c")
    assert len(again) == len(kernels)
    assert [again.sample(SubsampledGuard(Recorder(), k), [example()], n=64) for k in kernels] == first


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SubsamplingLaw(4, 5, 4, 1), "keep_tokens = 5"),
        (lambda: SubsamplingLaw(4, 1, 4, 1).p_adv(0.9, 5, 0), "r_tokens = 5"),
        (lambda: SubsamplingLaw(4, 1, 4, 1).p_adv(1.1, 0, 0), "p_a = 1.1"),
        (lambda: SubsamplingLaw(4, 1, 4, 1).certified_pixels(0.9, 0, tau=0.0), "tau = 0"),
        (lambda: Subsampling(1, 1, 0, pixel_fill=2.0), "pixel_fill = 2"),
        (lambda: Subsampling(-1, 1, 0), "keep_tokens = -1"),
        (lambda: log_untouched(4, 1, 0.5), "touched = 0.5"),
        (lambda: pixels_within(np.ones((3, 2, 2)), -1.0), "epsilon = -1"),
    ],
)
def test_complaints_name_the_parameter(call, message):
    with pytest.raises(ValueError, match=message):
        call()
