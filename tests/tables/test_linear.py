"""The exact smoothed value and the exact worst attack, each against brute force; certificates never pass them."""

import math
from dataclasses import replace
from functools import reduce
from itertools import combinations, product

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binomtest

import hybrid_rs as hrs
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.experiments.table7 import ROUNDING, certificate, draw, evaluate, without_noise
from hybrid_rs.tables import data as tabular, exact, linear
from hybrid_rs.tables.lattice import NumberLattice, steps_of

SIZES = (2, 4, 3)
RNG = np.random.default_rng(3)
TOY = linear.LinearClassifier(0.1, np.array([0.5, -0.3]), tuple(RNG.normal(size=size) for size in SIZES))
X, C = np.array([0.4, -0.2]), np.array([1, 2, 0])
NOISE = [(0.25, 0.5), (0.9, 0.5), (0.25, 0.0), (0.0, 0.5), (0.0, 0.0)]  # beta, sigma


def table(x, c):
    """A table of one row; its numbers are standardised as they are."""
    rows = {"numeric": x[None], "codes": c[None], "labels": np.array([True])}
    split = {"train": np.array([0]), "test": np.array([0])}
    names = {"numeric_names": tuple("ab"), "categories": {f"f{v}": tuple(map(str, range(v))) for v in SIZES}}
    lattice = NumberLattice(np.zeros(x.size), np.ones(x.size), steps_of(np.ones(x.size)))
    numbers = {
        "centre": lattice.centre,
        "scale": lattice.scale,
        "levels": lattice.levels(x[None]),
        "steps": lattice.steps,
    }
    return tabular.TabularData("toy", **rows, **split, **names, **numbers)


def value(x, c, beta, sigma, says=True):
    """The smoothed value from its definition: one combination of noisy categories after the other."""
    total = 0.0
    scale = sigma * math.hypot(*TOY.weights) * math.sqrt(2)
    for z in product(*map(range, SIZES)):
        chance = math.prod(1 - beta if a == b else beta / (v - 1) for a, b, v in zip(z, c, SIZES, strict=True))
        score = TOY.intercept + x @ TOY.weights + sum(TOY.category_weights[i][b] for i, b in enumerate(z))
        yes = math.erfc(-score / scale) / 2 if sigma > 0 else float(score > 0)
        total += chance * (yes if says else 1 - yes)
    return total


@pytest.mark.parametrize(("beta", "sigma"), NOISE)
def test_the_smoothed_value_is_that_of_its_definition_and_the_share_of_noisy_draws(beta, sigma):
    kernel, n = hrs.FeatureKernel(beta, SIZES), 20_000
    counts = linear.sample(TOY, table(X, C), 0, kernel, sigma=sigma, n=n)
    known = exact.smoothed_value(TOY, X[None], C[None], kernel, sigma=sigma)[0]
    assert known == pytest.approx(value(X, C, beta, sigma), abs=1e-14)
    assert binomtest(counts.unsafe[0], n, min(known, 1.0)).pvalue > 1e-3
    for says, other in ((True, known), (False, 1 - known)):
        found = exact.worst_values(TOY, X, C, kernel, sigma=sigma, d_max=0, epsilon=[0.0], says=says)
        assert found == pytest.approx(other, abs=1e-14)


@pytest.mark.parametrize(("beta", "sigma"), NOISE)
@pytest.mark.parametrize("says", [True, False])
def test_no_attack_is_worse_than_the_worst(beta, sigma, says):
    kernel, budgets = hrs.FeatureKernel(beta, SIZES), [0.0, 0.3, 1.0]
    directions = [np.array([np.cos(a), np.sin(a)]) for a in np.linspace(0, 2 * np.pi, 24, endpoint=False)]
    toward = TOY.weights / TOY.norm * (-1 if says else 1)
    least_of = exact.worst_values(TOY, X, C, kernel, sigma=sigma, d_max=5, epsilon=budgets, says=says)
    assert np.array_equal(least_of[4:], least_of[[3, 3]])  # there are three features to edit
    for d, worst in enumerate(least_of[:4]):
        edits = [c for c in product(*map(range, SIZES)) if np.sum(np.array(c) != C) <= d]
        for epsilon, least in zip(budgets, worst, strict=True):
            found = min(value(X + epsilon * toward, c, beta, sigma, says) for c in edits)
            assert found == pytest.approx(least, abs=1e-12)
            tried = [
                value(X + epsilon * u, c, beta, sigma, says) for u in directions for c in edits[:: len(edits) // 3 + 1]
            ]
            assert min(tried) >= least - 1e-12


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.8])
def test_the_certificate_never_passes_the_worst_attack(beta):
    rng, kernel, budgets = np.random.default_rng(1), hrs.FeatureKernel(beta, SIZES), np.array([0.0, 0.2, 0.7])
    truths = []
    for _ in range(200):
        x, c = rng.normal(size=2), np.array([rng.integers(v) for v in SIZES])
        some = linear.LinearClassifier(rng.normal(), rng.uniform(0.2, 3) * TOY.weights, TOY.category_weights)
        law = {"sigma": 0.5, "d_max": 3, "epsilon": budgets}
        truths += [exact.worst_values(some, x, c, kernel, says=says, **law) for says in (True, False)]
    truth = np.array(truths)
    p_a = np.maximum(truth[:, 0, 0] - ROUNDING, 0.0)[:, None]  # the first budget is 0
    for d in range(4):
        certified = np.min([hrs.p_adv(p_a, budgets, ratio, sigma=0.5) for ratio in worst_ratios(kernel, d)], axis=0)
        assert np.all(certified <= truth[:, d] + 1e-13)
        assert np.any(certified > 0.8 * truth[:, d])  # and some attacks nearly meet it


def test_without_noise_the_verdict_withstands_exactly_what_brute_force_says():
    rng = np.random.default_rng(2)
    numeric, codes = rng.normal(size=(30, 2)), np.stack([rng.integers(0, v, 30) for v in SIZES], axis=1)
    for d, epsilon in product(range(4), (0.0, 0.4)):
        found = TOY.withstands(numeric, codes, d, epsilon)
        for x, c, robust in zip(numeric, codes, found, strict=True):
            says = TOY.predict(x[None], c[None])[0]
            near = x - (1 if says else -1) * epsilon * TOY.weights / TOY.norm
            edits = [e for e in product(*map(range, SIZES)) if np.sum(np.array(e) != c) <= d]
            assert robust == all(TOY.predict(near[None], np.array([e]))[0] == says for e in edits)


def test_scores_are_linear_and_the_machine_beats_a_constant_answer():
    data = tabular.election()
    fitted = linear.fit(data, beta=0.25, sigma=0.5)
    numeric, codes = data.numeric[data.test], data.codes[data.test]
    right = (fitted.predict(numeric, codes) == data.labels[data.test]).mean()
    assert right > 0.85 > max(data.labels.mean(), 1 - data.labels.mean())
    again = linear.fit(data, beta=0.25, sigma=0.5)
    assert np.array_equal(fitted.weights, again.weights)
    one = fitted.intercept + numeric[0] @ fitted.weights
    one += sum(theta[c] for theta, c in zip(fitted.category_weights, codes[0], strict=True))
    assert fitted.score(numeric[:1], codes[:1])[0] == pytest.approx(one)


def test_an_outcome_is_sound_and_ordered():
    data = tabular.election()
    fitted = linear.fit(data, beta=0.25, sigma=0.5)
    rows, law = data.test[:25], {"beta": 0.25, "sigma": 0.5, "epsilons": [0.0, 0.25], "d_max": 2, "n": 2000}
    found, again = (evaluate(fitted, data, rows, **law) for _ in range(2))
    assert np.array_equal(found.from_draws, again.from_draws)
    assert np.all(found.from_exact <= found.truth + 1e-12)
    sound = found.p_lower <= found.p_exact
    assert sound.mean() >= 0.9
    assert np.all(found.from_draws[sound] <= found.from_exact[sound] + 1e-12)
    np.testing.assert_allclose(found.truth[:, 0, 0], found.p_exact, atol=1e-12)
    for values in (found.from_draws, found.from_exact, found.truth):
        for axis in (1, 2):  # larger budgets never help
            assert np.all(np.diff(values, axis=axis) <= 1e-15)
    frame = found.to_frame(0.5)
    assert np.all(frame["exact p_A"] <= frame["truth"])
    few = evaluate(fitted, data, rows[:5], **law)  # a row's draws do not depend on the others
    assert np.array_equal(few.p_lower, found.p_lower[:5])


def test_no_two_of_seed_row_and_purpose_have_the_same_draws():
    """A seed of two words would: its second word stands where the row stands for a seed of one."""
    kernel, law = hrs.FeatureKernel(0.25, SIZES), {"sigma": 0.5, "n": 10}
    with pytest.raises(ValueError, match=r"^seed = 30064771077: .* at most 4294967295"):
        linear.sample(TOY, table(X, C), 0, kernel, seed=5 + 7 * 2**32, purpose=0, **law)
    with pytest.raises(ValueError, match=r"^purpose = -1: "):
        linear.sample(TOY, table(X, C), 0, kernel, purpose=-1, **law)
    assert linear.sample(TOY, table(X, C), 0, kernel, seed=2**32 - 1, purpose=1, **law).n == 10


def test_the_limit_of_exact_values_is_checked_before_anything_is_drawn():
    data = replace(tabular.election(), categories={f"f{i}": tuple(map(str, range(99))) for i in range(8)})
    with pytest.raises(ValueError, match="combinations of categories = 96059601: exact values need at most 3000000"):
        evaluate(None, data, data.test[:2], beta=0.25, sigma=0.5, epsilons=[0.0], d_max=1, n=10)


def test_certificates_from_draws_have_no_limit_and_are_those_of_the_outcome():
    data = tabular.election()
    fitted = linear.fit(data, beta=0.25, sigma=0.5)
    rows, law = data.test[:8], {"beta": 0.25, "sigma": 0.5, "n": 2000}
    outcome = evaluate(fitted, data, rows, epsilons=[0.0, 0.25], d_max=2, **law)
    counts = draw(fitted, data, rows, **law)
    found = certificate(
        counts.p_lower(0.01), hrs.FeatureKernel(0.25, data.sizes), sigma=0.5, epsilons=[0.0, 0.25], d_max=2
    )
    assert np.array_equal(found, outcome.from_draws)
    assert np.array_equal(counts.correct, outcome.correct)


def test_what_cannot_be_computed_is_refused_with_a_remedy():
    wide = linear.LinearClassifier(1e9, np.ones(1), (np.zeros(2), np.zeros(2)))
    law = {"numeric": np.zeros((1, 1)), "codes": np.zeros((1, 2), int), "kernel": hrs.FeatureKernel(0.1, (2, 2))}
    with pytest.raises(ValueError, match=r"sigma = 1.0: the exact value needs \d+ terms, more than 131072"):
        exact.smoothed_value(wide, sigma=1.0, **law)
    large = linear.LinearClassifier(0.0, np.ones(1), (np.zeros(3_000_001), np.zeros(2)))
    law["kernel"] = hrs.FeatureKernel(0.1, (3_000_001, 2))
    with pytest.raises(ValueError, match="combinations of categories = 3000001"):
        exact.smoothed_value(large, sigma=0.0, **law)


@pytest.mark.parametrize("sigma", [0.5, 0.0])
def test_values_of_many_features_are_those_of_listing_every_combination(sigma):
    """By listing: 40,320 combinations, one feature after the other, for the clean row and the worst edits of two."""
    sizes, rng = (2, 3, 4, 5, 6, 7, 8), np.random.default_rng(5)
    machine = linear.LinearClassifier(-0.2, np.array([0.2, 0.1]), tuple(0.5 * rng.normal(size=v) for v in sizes))
    kernel, x, c = hrs.FeatureKernel(0.25, sizes), np.array([0.3, 1.0]), np.array([rng.integers(v) for v in sizes])
    scores = machine.intercept + x @ machine.weights + reduce(np.add.outer, machine.category_weights)
    values = ndtr(scores / (sigma * machine.norm)) if sigma else (scores > 0).astype(float)
    worst = [int(np.argmin(theta)) for theta in machine.category_weights]

    def listed(edited):
        shown = [w if i in edited else code for i, (w, code) in enumerate(zip(worst, c, strict=True))]
        laws = [np.where(np.arange(v) == code, 0.75, 0.25 / (v - 1)) for v, code in zip(sizes, shown, strict=True)]
        return float((values * reduce(np.multiply.outer, laws)).sum())

    found = exact.worst_values(machine, x, c, kernel, sigma=sigma, d_max=2, epsilon=[0.0])[:, 0]
    least = [min(listed(edited) for edited in combinations(range(7), d)) for d in range(3)]
    np.testing.assert_allclose(found, np.minimum.accumulate(least), atol=1e-13)


def test_the_yardstick_without_noise_is_trained_without_noise_and_falls_with_the_budgets():
    data = tabular.election()
    rows = data.test[:60]
    found = without_noise(data, rows, epsilons=[0.0, 0.25, 1.0], d_max=2)
    machine = linear.fit(data, beta=0.0, sigma=0.0, copies=1)
    right = machine.predict(data.numeric[rows], data.codes[rows]) == data.labels[rows]
    assert found.shape == (3, 3)
    assert found[0, 0] == right.mean()
    assert np.all(np.diff(found, axis=0) <= 0)
    assert np.all(np.diff(found, axis=1) <= 0)
    noisy = linear.fit(data, beta=0.25, sigma=0.5, copies=5)
    assert not np.allclose(machine.weights, noisy.weights)
