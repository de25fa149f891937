"""Attacks: within the budget, as low as the worst classifier allows, never below what is certified."""

import itertools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import hybrid_rs as hrs
from hybrid_rs.attacks import Attack, Effort, Objective, distance, on_lattice
from hybrid_rs.attacks.bounds import beside_ceilings
from hybrid_rs.attacks.exchanged import Exchanged
from hybrid_rs.attacks.image import attack_image, lower_image, margin_gradients, noise_slope, project
from hybrid_rs.attacks.joint import attack_jointly, evaluate
from hybrid_rs.attacks.text import attack_text, candidates, noise_ranks
from hybrid_rs.certificates.threats import InPlaceThreat
from hybrid_rs.certificates.upper import p_adv_upper
from hybrid_rs.guards.worst_guard import WorstGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard, new_model
from hybrid_rs.smoothing.answers import AnswerError

SHAPE = (3, 4, 4)
GREY = np.full(SHAPE, 128 / 255, np.float32)
V = 6
WORST = Effort(draws=1000, probes=2000, candidates=16, select=4000, uses="verdicts")
QUICK = Effort(draws=60, probes=120, candidates=12, steps=6, rounds=1, select=200)


class RandomGuard:
    """A random weight for each token at each position, plus a random linear function of the image."""

    pad_id, mask_id = 5, 99
    alphabet = np.arange(3, 3 + V)

    def __init__(self, rng, length, bias=1.0):
        self.by_token, self.by_pixel = rng.standard_normal((length, 100)), rng.standard_normal(SHAPE)
        self.bias, self.asked = bias, 0

    def _margin(self, token_ids, images):
        self.asked += len(token_ids)
        words = self.by_token[np.arange(token_ids.shape[1]), token_ids].sum(axis=1)
        return words + np.tensordot(images - 0.5, self.by_pixel, axes=3) + self.bias

    def unsafe(self, token_ids, images):
        return self._margin(token_ids, images) > 0


class ScoringGuard(RandomGuard):
    margin = 0.25

    def scores(self, token_ids, images):
        return self._margin(token_ids, images)

    def unsafe(self, token_ids, images):
        return self.scores(token_ids, images) > self.margin


def setting(seed, *, threat, kernel=None, sigma=0.5, guard=RandomGuard, length=3):
    rng = np.random.default_rng(seed)
    example = hrs.Example(f"toy/{seed}", rng.choice([1, *RandomGuard.alphabet], length), rng.random(SHAPE)).rounded()
    kernel = kernel or hrs.UniformKernel(0.25, V)
    return hrs.SmoothedGuard(guard(rng, length + threat.slot), kernel, sigma, threat), example


def exact_value(smoothed, token_ids, noised):
    """g where the verdict is of the text alone: the sum over all noised texts, from the kernel's definition."""
    kernel, guard, total = smoothed.kernel, smoothed.guard, 0.0
    masks = isinstance(kernel, hrs.AbsorbingKernel)
    canonical = np.where(noised & ~np.isin(token_ids, guard.alphabet), guard.pad_id, token_ids)
    places = [
        [*guard.alphabet, guard.mask_id] if there else [own] for own, there in zip(canonical, noised, strict=True)
    ]
    for text in itertools.product(*places):
        mass = 1.0
        for shown, own, there in zip(text, canonical, noised, strict=True):
            if there:
                other = float(shown == guard.mask_id) if masks else (shown != guard.mask_id) / (V - 1)
                mass *= 1 - kernel.beta if shown == own else kernel.beta * other
        total += mass * guard.unsafe(np.array([text]), GREY[None])[0]
    return total


def within(count, n, p):
    return abs(count / n - p) <= 4.5 * math.sqrt(max(p * (1 - p), 0) / n) + 1e-12


THREATS = [hrs.SuffixThreat(2), hrs.SuffixThreat(2, one_shot=False), hrs.L0Threat(2), InPlaceThreat(2)]
KERNELS = [hrs.UniformKernel(0.25, V), hrs.AbsorbingKernel(0.25)]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    threat=st.sampled_from(THREATS),
    kernel=st.sampled_from(KERNELS),
    guard=st.sampled_from([RandomGuard, ScoringGuard]),
    sigma=st.sampled_from([0.0, 0.5]),
    d=st.integers(0, 2),
    epsilon=st.sampled_from([0.0, 1e-8, 1e-3, 0.7, 50.0]),
)
def test_an_attack_keeps_to_its_budget_and_tells_the_truth(seed, threat, kernel, guard, sigma, d, epsilon):
    smoothed, example = setting(seed, threat=threat, kernel=kernel, sigma=sigma, guard=guard)
    effort = replace(QUICK, draws=10, probes=20, candidates=5, steps=2, select=20)
    found = attack_jointly(smoothed, example, d, epsilon, effort=effort, seed=seed)
    clean = np.append(example.token_ids, [smoothed.guard.pad_id] * threat.slot)
    edited = np.flatnonzero(found.token_ids != clean)
    assert found.edits == edited.size <= d
    assert np.isin(found.token_ids[edited], smoothed.guard.alphabet).all()
    if threat.slot:
        assert np.isin(edited, np.arange(3, 3 + d)).all()  # the first d pads
    moved = math.sqrt(math.fsum((found.image.astype(float) - example.image.astype(float)).ravel() ** 2))
    assert moved <= epsilon * (1 + 1e-15)
    assert found.epsilon_used == pytest.approx(moved, rel=1e-12)
    assert found.image.dtype == np.float32
    assert found.image.min() >= 0
    assert found.image.max() <= 1
    assert found.queries == smoothed.guard.asked
    again = attack_jointly(smoothed, example, d, epsilon, effort=effort, seed=seed)
    np.testing.assert_array_equal(found.token_ids, again.token_ids)
    np.testing.assert_array_equal(found.image, again.image)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("threat", THREATS)
def test_search_and_evaluation_draw_the_law_of_the_attacked_classifier(kernel, threat):
    n, decided_by_noise = 20_000, 0
    for seed in range(4):
        smoothed, example = setting(seed, threat=threat, kernel=kernel, sigma=0.0, length=2)
        smoothed.guard.by_pixel[:] = 0
        example = replace(example, token_ids=[6, 1])  # 1 is not in the alphabet
        objective = Objective(smoothed, example, d=1)
        attacked = objective.text.copy()
        attacked[np.flatnonzero(objective.editable)[0]] = 4
        # the slot is noised, be it attacked or not; with a classifier per d, its first d pads are
        row = [False, False, True, threat.one_shot] if threat.slot else [True, True]
        own = objective.canonical(attacked)
        smoothed.guard.bias = 0.1 - smoothed.guard.by_token[np.arange(own.size), own].sum()
        exact = exact_value(smoothed, attacked, np.array(row))
        searched = objective.margins(attacked[None], GREY, objective.draws(n))
        decided_by_noise += 0.05 < exact < 0.99
        assert within((searched > 0).sum(), n, exact)
        found = Attack(attacked, example.image, 1, 0.0, 0.0, 0)
        estimate = evaluate(smoothed, example, found, n, d=1, alpha=1e-5)
        assert within(estimate.unsafe, n, exact)
        assert estimate.lower <= exact <= estimate.upper + 1e-12
    assert decided_by_noise >= 2


@pytest.mark.parametrize("kernel", KERNELS)
def test_candidates_are_compared_on_the_draws_they_would_have_alone(kernel):
    smoothed, example = setting(2, threat=hrs.SuffixThreat(2), kernel=kernel, guard=ScoringGuard)
    objective = Objective(smoothed, example, d=2)
    texts, draws = np.tile(objective.text, (3, 1)), objective.draws(500)
    texts[1, -1], texts[2, -2:] = 3, 7
    together = objective.margins(texts, example.image, draws)
    alone = [objective.margins(text[None], example.image, draws)[0] for text in texts]
    np.testing.assert_allclose(together, alone)
    seen = [objective.texts(text, draws) for text in texts]
    np.testing.assert_array_equal(seen[0] != texts[0], seen[1] != texts[1])  # the same positions are replaced
    verdicts = [smoothed.guard.unsafe(text, objective.images(example.image, draws)) for text in seen]
    np.testing.assert_array_equal(together > 0, verdicts)
    assert 0 < np.mean(verdicts) < 1


def test_evaluation_shares_no_draw_with_the_search_or_the_certificate():
    class Recorder(RandomGuard):
        def unsafe(self, token_ids, images):
            self.seen.append({image.tobytes() for image in images})
            return super().unsafe(token_ids, images)

    smoothed, example = setting(1, threat=hrs.SuffixThreat(1), guard=Recorder)
    smoothed.guard.seen = []
    objective = Objective(smoothed, example, d=0)
    clean = objective.best([(objective.text, example.image)], 200)
    smoothed.sample(example, 200)
    evaluate(smoothed, example, clean, 200)
    assert [len(images) for images in smoothed.guard.seen] == [200] * 3
    assert len(set.union(*smoothed.guard.seen)) == 600


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(0.01, 3.0), far=st.floats(0.1, 5.0))
def test_the_projection_is_the_nearest_point_of_ball_and_box(seed, epsilon, far):
    rng = np.random.default_rng(seed)
    centre = rng.choice([0.0, 1.0, 0.5, 0.9], SHAPE).astype(np.float32)
    image = centre + far * rng.standard_normal(SHAPE)
    nearest = project(image, centre, epsilon)
    feasible = np.clip(centre + rng.standard_normal((200, *SHAPE)), 0, 1) - centre
    feasible *= np.minimum(1, epsilon / np.linalg.norm(feasible.reshape(200, -1), axis=1))[:, None, None, None]
    inner = np.tensordot(centre + feasible - nearest, image - nearest, axes=3)  # of a convex set: never acute
    assert inner.max() <= 1e-4 * (1 + far)
    np.testing.assert_array_equal(project(nearest, centre, epsilon), nearest)


def test_noise_alone_points_along_the_gradient_of_the_smoothed_value():
    smoothed, example = setting(3, threat=hrs.SuffixThreat(1))
    objective = Objective(smoothed, example, d=0)
    slope = noise_slope(objective, objective.text, example.image, objective.draws(20_000), smoothed.sigma)
    normal = smoothed.guard.by_pixel  # every level set of g is orthogonal to it
    assert (slope * normal).sum() > 0.98 * np.linalg.norm(slope) * np.linalg.norm(normal)


def test_noise_alone_ranks_all_edits_as_their_exact_values():
    for seed in range(5):
        smoothed, example = setting(seed, threat=hrs.SuffixThreat(2), sigma=0.0, length=1)
        smoothed.guard.by_pixel[:] = 0
        smoothed.guard.bias = -smoothed.guard.by_token[0, example.token_ids[0]]
        objective = Objective(smoothed, example, d=2)
        own, where = objective.text[1:], np.array([1, 2])
        ranks = noise_ranks(objective, objective.text, example.image, own, where, objective.draws(40_000))
        exact = np.empty_like(ranks)
        for row, column in itertools.product(range(2), range(V)):
            edited = objective.text.copy()
            edited[where[row]] = smoothed.guard.alphabet[column]
            exact[row, column] = exact_value(smoothed, edited, objective.noised)
        apart = np.abs(exact.ravel()[:, None] - exact.ravel()) > 0.03
        agree = (ranks.ravel()[:, None] > ranks.ravel()) == (exact.ravel()[:, None] > exact.ravel())
        within_row = np.kron(np.eye(2), np.ones((V, V))) > 0
        assert (apart & within_row).any()
        assert agree[apart & within_row].all()
        best = attack_text(smoothed, example, 1, effort=replace(QUICK, draws=2000, probes=4000))
        reached = exact_value(smoothed, best.token_ids, objective.noised)
        assert reached <= exact[0].min() + 0.03  # d = 1: the first pad alone


def test_candidates_are_at_most_one_edit_away_and_within_the_editable():
    smoothed, example = setting(0, threat=hrs.SuffixThreat(2))
    objective = Objective(smoothed, example, d=1)
    options = candidates(objective, objective.text, example.image, effort=QUICK)
    assert options.shape == (QUICK.candidates, 5)
    changed = options != objective.text
    assert not changed[:, [0, 1, 2, 4]].any()
    assert changed[:, 3].any()


@pytest.mark.parametrize(("threat", "vocab_size", "p_a"), [(hrs.SuffixThreat(3), 20, 0.95), (hrs.L0Threat(2), 5, 0.9)])
def test_the_worst_classifier_is_brought_down_to_its_certificate(threat, vocab_size, p_a):
    d, epsilon, sigma, length, n = 2, 0.5, 0.5, 4, 20_000
    kernel = hrs.UniformKernel(0.25, vocab_size)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        example = hrs.Example(f"worst/{seed}", rng.integers(1, vocab_size, length), GREY)
        clean = np.append(example.token_ids, np.zeros(threat.slot, dtype=int))
        edited = length + np.arange(d) if threat.slot else rng.permutation(length)[:d]
        attacked = clean.copy()
        attacked[edited] = (clean[edited] + rng.integers(1, vocab_size, d)) % vocab_size
        direction = rng.standard_normal(SHAPE)
        direction /= np.linalg.norm(direction)
        there = on_lattice((GREY + epsilon * direction).astype(np.float32), GREY)
        floor = float(hrs.p_adv(p_a, distance(there, GREY), kernel.likelihood_ratio(d), sigma=sigma))
        guard = WorstGuard(kernel, sigma, p_a, clean, attacked, GREY, there)
        smoothed = hrs.SmoothedGuard(guard, kernel, sigma, threat)
        assert within(smoothed.sample(example, n).unsafe[0], n, p_a)
        ideal = Attack(attacked, guard.attacked_image, d, epsilon, 0.0, 0)
        assert within(evaluate(smoothed, example, ideal, n).unsafe, n, floor)  # it attains the bound
        found = attack_jointly(smoothed, example, d, epsilon, effort=WORST)
        estimate = evaluate(smoothed, example, found, n, alpha=1e-4)
        assert estimate.lower <= 1.2 * floor  # verdicts alone find the attack
        assert estimate.unsafe / n <= 1.2 * floor + 4 * math.sqrt(floor / n)
        assert estimate.upper >= floor


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_attack_goes_below_the_certificate(kernel):
    n, alpha, certified = 4000, 1e-5, 0
    for seed, threat, d, epsilon in itertools.product(range(2), THREATS, (0, 1), (0.0, 0.1)):
        guard = (RandomGuard, ScoringGuard)[seed % 2]
        smoothed, example = setting(seed, threat=threat, kernel=kernel, guard=guard)
        smoothed.guard.bias = 6.0
        smoothed.guard.by_pixel /= 3
        counts = smoothed.sample(example, n).unsafe
        p_a = hrs.clopper_pearson_lower(counts[d if len(counts) > 1 else 0], n, alpha)
        floor = float(hrs.p_adv(p_a, epsilon, kernel.likelihood_ratio(d), sigma=smoothed.sigma))
        found = attack_jointly(smoothed, example, d, epsilon, effort=QUICK)
        assert evaluate(smoothed, example, found, n, d=d, alpha=alpha).upper >= floor
        certified += floor > 0.1
    assert certified > 10


def test_attacks_on_one_modality_leave_the_other_alone_and_work():
    n = 5000
    for seed in range(3):
        smoothed, example = setting(seed, threat=hrs.L0Threat(2), guard=(RandomGuard, ScoringGuard)[seed % 2])
        clean = smoothed.sample(example, n).unsafe[0]
        text = attack_text(smoothed, example, 2, effort=QUICK)
        assert text.epsilon_used == 0
        image = attack_image(smoothed, example, 0.5, effort=QUICK)
        assert image.edits == 0
        for found in (text, image):
            assert evaluate(smoothed, example, found, n, alpha=1e-4).upper < clean / n


def test_a_guard_that_always_agrees_yields_no_slope_and_no_crash():
    smoothed, example = setting(0, threat=hrs.SuffixThreat(2))
    smoothed.guard.bias = 1e9
    found = attack_jointly(smoothed, example, 2, 1.0, effort=QUICK)
    assert found.estimate == 1.0
    objective = Objective(smoothed, example, d=0)
    moved = lower_image(objective, objective.text, example.image, 1.0, effort=QUICK)
    np.testing.assert_array_equal(moved, example.image)


@pytest.fixture(scope="module")
def trained():
    return load_bay_guard()


@pytest.fixture(scope="module")
def untrained(trained):
    return replace(trained, model=new_model(seed=1).eval(), margin=0.01)


def bay_example():
    return bay_notes.examples("test", 2, unsafe=True)[1]


@pytest.mark.parametrize("name", ["trained", "untrained"])
def test_gradients_are_those_of_the_margin(name, request):
    guard, example = request.getfixturevalue(name), bay_example()
    kernel = hrs.UniformKernel(0.25, guard.alphabet.size)
    smoothed = hrs.SmoothedGuard(guard, kernel, 0.5, hrs.SuffixThreat(4))
    objective = Objective(smoothed, example, d=2)
    draws = objective.draws(6)
    margins, by_word, by_pixel = margin_gradients(objective, objective.text, example.image, draws)
    texts, images = objective.texts(objective.text, draws), objective.images(example.image, draws)
    np.testing.assert_allclose(margins, guard.scores(texts, images) - guard.margin, atol=2e-4)
    small = replace(objective.smoothed, guard=replace(guard, batch_size=4))
    parts = margin_gradients(Objective(small, example, d=2), objective.text, example.image, draws)
    for whole, part in zip((margins, by_word, by_pixel), parts, strict=True):
        np.testing.assert_allclose(part, whole, atol=2e-4)

    length = np.linalg.norm(by_pixel.reshape(6, -1), axis=1)
    step = 0.02 * by_pixel / length[:, None, None, None]
    rise = (guard.scores(texts, images + step) - guard.scores(texts, images - step)) / 0.04
    np.testing.assert_allclose(rise, length, rtol=0.03, atol=1e-3)

    position = 3  # a word of the text, which is not noised: it is the same in every draw
    assert (texts == texts[0, position]).sum() == 6
    slope = torch.from_numpy(by_word[0, position])
    row = guard.model.get_input_embeddings().weight.detach()[texts[0, position]]
    values, clean = [], row.clone()
    for sign in (1, -1):
        row.copy_(clean + sign * 0.01 * slope / slope.norm())
        values.append(guard.scores(texts[:1], images[:1])[0])
    row.copy_(clean)
    assert (values[0] - values[1]) / 0.02 == pytest.approx(float(slope.norm()), rel=0.03, abs=1e-3)


def test_the_small_guard_is_attacked_further_than_by_chance(trained):
    example, kernel, n = bay_example(), hrs.UniformKernel(0.25, trained.alphabet.size), 300
    smoothed = hrs.SmoothedGuard(trained, kernel, 0.5, hrs.SuffixThreat(8))
    effort = Effort(draws=24, probes=48, candidates=6, sweeps=0, steps=8, rounds=1, restarts=1, select=64)
    found = attack_jointly(smoothed, example, 2, 1.0, effort=effort)
    assert found.edits <= 2
    assert 0.9 < found.epsilon_used <= 1.0
    rng = np.random.default_rng(0)
    way = rng.standard_normal(example.image.shape)
    tokens = np.append(example.token_ids, [trained.pad_id] * 8)
    tokens[-8:-6] = rng.choice(trained.alphabet, 2)
    there = on_lattice(project(example.image + way, example.image, 1.0), example.image)
    chance = Attack(tokens, there, 2, 1.0, 0.0, 0)
    ours, theirs = (evaluate(smoothed, example, attack, n, alpha=1e-3) for attack in (found, chance))
    assert ours.upper < theirs.lower
    p_a = hrs.clopper_pearson_lower(smoothed.sample(example, n).unsafe[0], n, 1e-3)
    assert ours.upper >= hrs.p_adv(p_a, 1.0, kernel.likelihood_ratio(2), sigma=0.5)


@pytest.mark.parametrize("uses", ["gradients", "scores"])
def test_words_of_the_note_are_replaced_to_effect(trained, uses):
    kernel, n = hrs.UniformKernel(0.25, trained.alphabet.size), 300
    smoothed, example = hrs.SmoothedGuard(trained, kernel, 0.5, hrs.L0Threat(4)), bay_example()
    effort = Effort(draws=24, probes=400, candidates=12, sweeps=0, restarts=1, select=64, uses=uses)
    found = attack_text(smoothed, example, 2, effort=effort)
    assert found.epsilon_used == 0
    estimate = evaluate(smoothed, example, found, n, alpha=1e-3)
    clean = hrs.clopper_pearson_lower(smoothed.sample(example, n).unsafe[0], n, 1e-3)
    assert estimate.upper < clean


class PartlyDifferentiable(ScoringGuard):
    """Only the image is: there is no gradient by token, and there are no embeddings."""

    def gradients(self, token_ids, images):
        return self.scores(token_ids, images), None, np.broadcast_to(self.by_pixel, images.shape)


@pytest.mark.parametrize("threat", THREATS)
def test_a_guard_offers_what_it_has_and_the_search_uses_no_more_than_it_may(threat):
    smoothed, example = setting(0, threat=threat, guard=PartlyDifferentiable)
    found = attack_jointly(smoothed, example, 1, 0.5, effort=QUICK)
    slope = smoothed.guard.by_pixel
    down = project(example.image - 9 * slope.astype(np.float32), example.image, 0.5) - example.image
    moved = found.image - example.image
    assert (moved * slope).sum() < 0.95 * (down * slope).sum() < 0  # gradients go straight down
    for uses, kind in [("verdicts", RandomGuard), ("scores", ScoringGuard)]:  # less is offered, or less is used
        less, _ = setting(0, threat=threat, guard=kind)
        less.guard.bias -= PartlyDifferentiable.margin - getattr(kind, "margin", 0.0)
        limited = attack_jointly(smoothed, example, 1, 0.5, effort=replace(QUICK, uses=uses))
        same = attack_jointly(less, example, 1, 0.5, effort=QUICK)
        np.testing.assert_array_equal(limited.token_ids, same.token_ids)
        np.testing.assert_array_equal(limited.image, same.image)
        assert not np.array_equal(limited.image, found.image)


def test_bad_input_is_named_with_its_value():
    smoothed, example = setting(0, threat=hrs.SuffixThreat(2))
    found = attack_jointly(smoothed, example, 1, 0.1, effort=QUICK)
    each = replace(smoothed, threat=hrs.SuffixThreat(2, one_shot=False))
    stray = found.token_ids.copy()
    stray[0] += 1
    cases = [
        (lambda: attack_text(smoothed, example, 3), "d = 3"),
        (lambda: attack_text(smoothed, example, -1), "d = -1"),
        (lambda: attack_image(smoothed, example, -1.0), "epsilon = -1"),
        (lambda: attack_image(smoothed, example, np.nan), "epsilon = nan"),
        (lambda: attack_jointly(smoothed, example, 1, 0.1, seed=-1), "seed = -1"),
        (lambda: Effort(draws=0), "draws = 0"),
        (lambda: Effort(sweeps=-1), "sweeps = -1"),
        (lambda: Effort(uses="magic"), "uses = 'magic'"),
        (lambda: evaluate(each, example, found, 10), "d = None"),
        (lambda: evaluate(smoothed, example, replace(found, token_ids=stray), 10), "edits at"),
        (lambda: evaluate(smoothed, example, replace(found, token_ids=stray[:-1]), 10), r"token_ids = \(4,\)"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


@given(st.integers(0, 10_000), st.floats(0.001, 0.5))
def test_what_is_moved_to_the_lattice_stays_within_its_distance_and_near(seed, length):
    rng = np.random.default_rng(seed)
    centre = rng.integers(0, 256, SHAPE).astype(np.float32) / np.float32(255)
    direction = rng.standard_normal(SHAPE)
    image = project(centre + length * direction / np.linalg.norm(direction), centre, length)
    moved = on_lattice(image, centre)
    hrs.Example("on the lattice", np.array([3]), moved).levels()
    assert distance(moved, centre) <= distance(image, centre)
    assert distance(moved, image) <= math.sqrt(moved.size) * 0.5 / 255 + distance(image, centre) / 4 + 1e-6


@pytest.mark.parametrize("threat", THREATS)
def test_an_attack_on_a_guard_with_lattice_noise_is_an_image_of_8_bits(threat):
    floats, example = setting(3, threat=threat)
    smoothed, clean = replace(floats, noise="lattice"), example.rounded()
    found = attack_jointly(smoothed, clean, 1, 0.3, effort=QUICK)
    hrs.Example("attacked", found.token_ids, found.image).levels()
    assert 0.2 < found.epsilon_used <= 0.3
    assert evaluate(smoothed, clean, found, 2000, d=1).upper < smoothed.sample(clean, 2000).unsafe[-1] / 2000


@pytest.mark.parametrize("guard", [RandomGuard, ScoringGuard])
@pytest.mark.parametrize("threat", THREATS)
def test_an_exchanged_guard_is_the_complement_and_its_attacks_raise_the_value(guard, threat):
    smoothed, example = setting(3, threat=threat, guard=partial(guard, bias=-1.0))
    exchanged = replace(smoothed, guard=Exchanged(smoothed.guard))
    found = attack_jointly(exchanged, example, d=1, epsilon=1.0, effort=QUICK)
    here, there = (evaluate(each, example, found, n=500, d=1).unsafe for each in (smoothed, exchanged))
    assert here + there == 500
    clean = smoothed.sample(example, 500, seed=1)
    assert here > clean.of_budget(1).unsafe[0]
    row = vars(found) | {"example": example.id, "sigma": smoothed.sigma, "d": 1, "epsilon": 1.0}
    row |= {"unsafe": there, "n": 500}
    table = beside_ceilings([row], [clean], smoothed.kernel).iloc[0]
    assert table["g"] == here / 500
    assert table["lower"] <= table["g"] <= table["ceiling"]
    assert table["clean"] <= table["certified"] <= table["ceiling"]  # the shared risk is smaller


@pytest.mark.parametrize("answer", [["safe"], [None], [0.5]])
def test_an_exchanged_guard_leaves_an_invalid_answer_invalid(answer):
    smoothed, example = setting(3, threat=hrs.SuffixThreat(1))
    smoothed.guard.unsafe = lambda token_ids, images: answer * len(images)
    with pytest.raises(AnswerError, match=r"\.unsafe\("):
        replace(smoothed, guard=Exchanged(smoothed.guard)).sample(example, 4)


def test_the_upper_bound_is_attained():
    kernel, threat, sigma, n = hrs.UniformKernel(0.25, 20), hrs.SuffixThreat(1), 0.5, 4000
    example = hrs.Example("worst/up", np.array([3, 4]), GREY)
    clean, attacked, moved = np.array([3, 4, 0]), np.array([3, 4, 9]), (GREY + 0.05).astype(np.float32)
    worst = WorstGuard(kernel, sigma, 0.95, clean, attacked, GREY, moved)
    smoothed = hrs.SmoothedGuard(Exchanged(worst), kernel, sigma, threat, noise="float32")  # its clean value is 0.05
    ratio, epsilon = kernel.likelihood_ratio(1), distance(moved, GREY)
    ceiling = float(p_adv_upper(0.05, epsilon, ratio, sigma=sigma))
    assert within(smoothed.sample(example, n).unsafe[0], n, 0.05)
    ideal = Attack(attacked, moved, 1, epsilon, 0.0, 0)
    assert within(evaluate(smoothed, example, ideal, n).unsafe, n, ceiling)
