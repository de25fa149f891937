"""Sampling: exact marginal laws, draws that depend on nothing but their number, nested classifiers."""

import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binomtest, chi2, chisquare
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.attacks import Objective
from hybrid_rs.evidence.kinds import KINDS
from hybrid_rs.smoothing import draws
from hybrid_rs.smoothing.draws import Stream, noisy_texts, require_readable
from hybrid_rs.smoothing.together import sample_together


@pytest.mark.parametrize("threat", [SUFFIX, NESTED, hrs.L0Threat(2)])
@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_the_same_counts_whatever_the_batch(threat, sigma):
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=sigma, threat=threat)
    counts = [smoothed.sample(EXAMPLE, 500, seed=3, batch_draws=batch) for batch in (1, 64, 100, 512)]
    assert len(set(counts)) == 1
    assert smoothed.sample(EXAMPLE, 500, seed=4).unsafe != counts[0].unsafe or sigma == 0


@pytest.mark.parametrize("noise", ["lattice", "float32"])
def test_the_same_images_whether_threads_share_the_blocks_or_not(noise, monkeypatch):
    smoothed, seen = hrs.SmoothedGuard(ToyGuard(), KERNEL, 0.2, SUFFIX, noise), []
    for alone in (EXAMPLE.image.size, EXAMPLE.image.size + 1):
        monkeypatch.setattr(draws, "ALONE", alone)
        seen.append(draws.noisy_images(smoothed, EXAMPLE, Stream(3, EXAMPLE.id), 64, 500))
    np.testing.assert_array_equal(*seen)
    assert len({image.tobytes() for image in seen[0]}) == 500 - 64


def test_the_first_draws_of_a_longer_run_are_the_same_draws():
    def images(n):
        guard = ToyGuard()
        hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=SUFFIX).sample(EXAMPLE, n)
        texts, pictures = guard.shown()
        return texts[:70], pictures[:70]

    for short, long in zip(images(70), images(300), strict=True):
        np.testing.assert_array_equal(short, long)


def test_examples_and_seeds_have_streams_of_their_own():
    def first(example, seed):
        guard = ToyGuard()
        hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=SUFFIX).sample(example, 1, seed=seed)
        return guard.shown()[1][0]

    here = first(EXAMPLE, 0)
    assert not np.array_equal(here, first(EXAMPLE, 1))
    assert not np.array_equal(here, first(replace(EXAMPLE, id="toy/1"), 0))


def test_image_noise_is_gaussian_in_pixel_units_before_clipping():
    guard = ToyGuard()
    hrs.SmoothedGuard(guard, KERNEL, sigma=0.7, threat=SUFFIX).sample(EXAMPLE, 4000)
    noise = (guard.shown()[1] - EXAMPLE.image).ravel() / 0.7
    assert noise.mean() == pytest.approx(0, abs=5 / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(1, abs=5 / np.sqrt(2 * noise.size))
    for quantile in (-2.5, -1, 0, 1.5):
        assert (noise < quantile).mean() == pytest.approx(ndtr(quantile), abs=3e-3)


def test_only_the_slot_is_noised_and_a_replaced_pad_is_uniform_among_the_others():
    guard = ToyGuard()
    hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=SUFFIX).sample(EXAMPLE, 20_000)
    texts, _ = guard.shown()
    assert np.all(texts[:, :3] == EXAMPLE.token_ids)
    slot = texts[:, 3:].ravel()
    changed = slot[slot != guard.pad_id]
    assert binomtest(changed.size, slot.size, KERNEL.beta).pvalue > 1e-6
    counts = np.bincount(changed, minlength=30)[10:]
    assert counts[guard.pad_id - 10] == 0
    others = np.delete(counts, guard.pad_id - 10)
    statistic = ((others - changed.size / 19) ** 2 / (changed.size / 19)).sum()
    assert chi2.sf(statistic, 18) > 1e-6


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_each_nested_classifier_has_its_own_exact_law(sigma):
    guard = ToyGuard()
    dark = replace(EXAMPLE, image=np.zeros((3, 4, 4), np.float32))  # the text alone decides
    n = 20_000
    counts = hrs.SmoothedGuard(guard, KERNEL, sigma=sigma, threat=NESTED).sample(dark, n)
    for d, k in enumerate(counts.unsafe):  # unsafe when fewer than 2 of 4 pads are left: at least 3 of d replaced
        from scipy.stats import binom

        assert binomtest(k, n, float(binom.sf(2, d, KERNEL.beta))).pvalue > 1e-6
    assert counts.unsafe == tuple(sorted(counts.unsafe))


def test_nested_draws_are_the_one_shot_draws_at_the_last_budget():
    nested, one = (hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=t) for t in (NESTED, SUFFIX))
    assert nested.sample(EXAMPLE, 1000).unsafe[-1] == one.sample(EXAMPLE, 1000).unsafe[0]


def test_a_text_that_did_not_change_is_not_evaluated_again():
    guard = ToyGuard()
    n = 2000
    hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=NESTED).sample(EXAMPLE, n)
    evaluated = sum(len(texts) for texts, _ in guard.seen)
    assert evaluated / n == pytest.approx(1 + 4 * KERNEL.beta, abs=0.1)


def test_l0_noise_touches_every_token_and_unknown_tokens_become_pads():
    guard = ToyGuard()
    strange = replace(EXAMPLE, token_ids=np.array([7, 13, 99]))  # 7 and 99 are outside the alphabet
    hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=hrs.L0Threat(2)).sample(strange, 4000)
    texts, _ = guard.shown()
    assert texts.shape[1] == 3
    assert np.isin(texts, guard.alphabet).all()
    kept = (texts == [guard.pad_id, 13, guard.pad_id]).mean(axis=0)
    np.testing.assert_allclose(kept, 1 - KERNEL.beta, atol=0.04)


def test_the_absorbing_kernel_writes_the_mask():
    guard = ToyGuard()
    hrs.SmoothedGuard(guard, hrs.AbsorbingKernel(0.4), sigma=0.2, threat=SUFFIX).sample(EXAMPLE, 4000)
    texts, _ = guard.shown()
    assert set(np.unique(texts[:, 3:])) == {guard.mask_id, guard.pad_id}
    assert (texts[:, 3:] == guard.mask_id).mean() == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint16, np.int32, np.uint64, np.int64])
def test_the_mask_is_written_whatever_the_type_of_the_alphabet(kind):
    """In 8 bits 300 would be 44, an ordinary token; attacks are shown the same texts."""
    guard = ToyGuard(alphabet=np.arange(10, 60, dtype=kind), mask_id=300)
    smoothed = hrs.SmoothedGuard(guard, hrs.AbsorbingKernel(0.4), sigma=0.2, threat=SUFFIX)
    smoothed.sample(EXAMPLE, 100)
    objective = Objective(smoothed, EXAMPLE, d=1)
    for texts in (guard.shown()[0], objective.texts(objective.text, objective.draws(100))):
        assert set(np.unique(texts[:, 3:])) == {guard.pad_id, 300}


def test_larger_beta_replaces_a_superset_with_the_same_words():
    clean = np.arange(6)
    draws = [hrs.UniformKernel(b, 20).sample(clean, 500, np.random.default_rng(0)) for b in (0.1, 0.5)]
    changed = draws[0] != clean
    np.testing.assert_array_equal(draws[0][changed], draws[1][changed])


def test_certify_is_sample_then_bound_then_frontier():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=NESTED)
    front = smoothed.certify(EXAMPLE, 2000, alpha=0.05, tau=0.01)
    counts = smoothed.sample(EXAMPLE, 2000)
    np.testing.assert_array_equal(front.p, counts.p_a(0.05))
    assert not front.one_classifier
    assert "not simultaneously" in front.claim
    one = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX).certify(EXAMPLE, 2000, tau=0.01)
    assert one.one_classifier
    assert "simultaneously" in one.claim


def smoothed_with(**guard):
    return lambda: hrs.SmoothedGuard(ToyGuard(**guard), KERNEL, sigma=0.2, threat=SUFFIX)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (smoothed_with(alphabet=np.arange(10, 25)), "kernel.vocab_size = 20"),
        (smoothed_with(alphabet=np.arange(30, 10, -1)), "guard.alphabet"),
        (smoothed_with(pad_id=5), "guard.pad_id = 5"),
        (lambda: hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=-1, threat=SUFFIX), "sigma = -1"),
        (lambda: hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=np.nan, threat=SUFFIX), "sigma = nan"),
        (
            lambda: hrs.SmoothedGuard(ToyGuard(mask_id=None), hrs.AbsorbingKernel(0.5), sigma=0, threat=SUFFIX),
            "guard.mask_id = None",
        ),
        (lambda: smoothed_with()().sample(EXAMPLE, 0), "n = 0"),
        (lambda: smoothed_with()().sample(EXAMPLE, 10, seed=-1), "seed = -1"),
        (lambda: smoothed_with()().decide(EXAMPLE, 1, 0.1, tau=0.1, seed=-1), "seed = -1"),
        (lambda: smoothed_with()().decide(EXAMPLE, 1, [0.1, 0.2], tau=0.1), r"epsilon = \[0.1 0.2\]"),
        (lambda: hrs.SuffixThreat(-1), "max_edits = -1"),
        (lambda: hrs.Example("a", np.zeros(2), np.full((3, 2, 2), 1.5)), "image = pixels from 1.5"),
        (lambda: hrs.Example("a", np.zeros(2), np.full((3, 2, 2), np.nan)), "image = pixels from nan"),
        (lambda: hrs.Example("a", np.zeros(2), np.zeros((2, 2))), "image"),
        (lambda: hrs.L0Threat(2).noised(0), "length = 0"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_masked_draws_follow_the_law_given_that_the_first_d_pads_were_replaced():
    guard, threat, n = ToyGuard(), hrs.SuffixThreat(max_edits=2), 4000
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.3, 20), sigma=0.2, threat=threat)
    counts = smoothed.sample(EXAMPLE, n, masked=True)
    assert isinstance(counts, hrs.MaskedCounts)
    assert counts.clean == smoothed.sample(EXAMPLE, n)
    assert smoothed.sample(EXAMPLE, n, masked=True, batch_draws=64) == counts

    clean, length = np.append(EXAMPLE.token_ids, [guard.pad_id] * 2), EXAMPLE.token_ids.size
    texts, _ = noisy_texts(
        smoothed.guard,
        smoothed.kernel,
        clean,
        threat.noised(length),
        threat.conditions(length),
        Stream(0, EXAMPLE.id),
        0,
        n,
    )
    assert np.all(texts[:, :, :length] == EXAMPLE.token_ids)
    first, second = texts[:, :, -2].T, texts[:, :, -1].T  # by condition: none, the first pad, both
    assert np.all(first[1:] != guard.pad_id)
    assert np.all(second[2] != guard.pad_id)
    for kept in (first[0], second[0], second[1]):
        assert binomtest(int((kept == guard.pad_id).sum()), n, 0.7).pvalue > 1e-4
    for forced in (first[1], second[2]):
        tally = np.array([(forced == token).sum() for token in np.setdiff1d(guard.alphabet, guard.pad_id)])
        assert chisquare(tally).pvalue > 1e-4


def test_l0_evidence_is_what_the_same_draws_show():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=hrs.L0Threat(max_edits=3))
    counts = smoothed.sample(EXAMPLE, 1000, masked=True)
    assert isinstance(counts, hrs.SubsetCounts)
    assert counts.clean == smoothed.sample(EXAMPLE, 1000)
    assert counts.length == EXAMPLE.token_ids.size
    front = smoothed.certify(EXAMPLE, 1000, tau=0.01, masked=True)
    assert front.simultaneous
    assert front.d_max == 3


@pytest.mark.parametrize(("threat", "masked", "texts"), [(SUFFIX, True, 1), (SUFFIX, True, 3), (NESTED, False, 1)])
def test_evidence_about_pads_is_not_taken_for_edits_anywhere(threat, masked, texts):
    there, anywhere = (hrs.SmoothedGuard(ToyGuard(), KERNEL, 0.2, each) for each in (threat, hrs.L0Threat(2)))
    counts = there.sample(EXAMPLE, 100, masked=masked, texts=texts)
    assert there.frontier(counts, tau=0.05).threat is threat
    with pytest.raises(ValueError, match=r"^counts = \w*Counts: these have a bound for each number of pads"):
        anywhere.frontier(counts, tau=0.05)
    with pytest.raises(ValueError, match=r"^counts = \(3,\): give the counts of sample"):
        anywhere.frontier((3,), tau=0.05)


def test_masked_evidence_needs_one_classifier():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=NESTED)
    with pytest.raises(ValueError, match="use one_shot=True"):
        smoothed.sample(EXAMPLE, 10, masked=True)


@pytest.mark.parametrize("threat", [SUFFIX, NESTED, hrs.L0Threat(3)])
@pytest.mark.parametrize("d", [0, 2])
def test_a_decision_uses_the_first_draws_of_the_sample_and_agrees_with_its_bound(threat, d):
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=threat)
    decisions = [smoothed.decide(EXAMPLE, d, 0.05, tau=0.01, batch_draws=b) for b in (64, 256)]
    assert decisions[0] == decisions[1]
    decision = decisions[0]
    counts = smoothed.sample(EXAMPLE, decision.draws)
    assert decision.unsafe == counts.of_budget(d).unsafe[0]
    assert decision.verdict == ("certified" if decision.lower >= decision.p_star else "not certifiable")


def test_a_masked_decision_is_about_p_s():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX)
    decision = smoothed.decide(EXAMPLE, 2, 0.05, tau=0.01, masked=True)
    assert decision.unsafe == smoothed.sample(EXAMPLE, decision.draws, masked=True).unsafe[2]
    assert decision.p_star == hrs.required_p_a(0.05, KERNEL.likelihood_ratio(2, masked=True), sigma=0.2, tau=0.01)
    with pytest.raises(ValueError, match="d = 9: give at most max_edits = 4"):
        smoothed.decide(EXAMPLE, 9, 0.1, tau=0.1)


BETAS = (0.4, 0.0, 0.1, 0.75, 1.0)  # in no order
SEVERAL = [(SUFFIX, False), (NESTED, False), (SUFFIX, True), (hrs.L0Threat(3), False), (hrs.L0Threat(3), True)]


def by_beta(guard, threat, sigma=0.2, betas=BETAS):
    return [hrs.SmoothedGuard(guard, hrs.UniformKernel(beta, 20), sigma, threat) for beta in betas]


@dataclass
class Hashing(ToyGuard):
    """A verdict that depends on every word, every pixel and their order, as an odd sum does."""

    def unsafe(self, token_ids, images):
        self.seen.append((token_ids.copy(), images.copy()))
        words = (token_ids * np.arange(1, 1 + token_ids.shape[1])).sum(axis=1)
        return (words + np.floor(1000 * images.mean(axis=(1, 2, 3))).astype(int)) % 2 == 0


@pytest.mark.parametrize(("threat", "masked"), SEVERAL)
@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_kernels_sampled_together_give_the_counts_of_each_alone(threat, masked, sigma):
    betas = BETAS[:1] + BETAS[2:] if masked else BETAS  # no p_S where give beta > 0, so that positions are replaced
    smoothed = by_beta(Hashing(), threat, sigma, betas)
    smoothed.append(replace(smoothed[0], kernel=hrs.AbsorbingKernel(0.4)))
    alone = [each.sample(EXAMPLE, 300, seed=3, masked=masked) for each in smoothed]
    assert sample_together(smoothed, EXAMPLE, 300, seed=3, masked=masked) == alone
    assert sample_together(smoothed, EXAMPLE, 300, seed=3, masked=masked, batch_draws=64) == alone
    assert len({str(counts) for counts in alone}) > 2


@pytest.mark.parametrize(("threat", "masked"), SEVERAL)
def test_kernels_sampled_together_evaluate_each_pair_once_and_an_image_ends_with_its_most_replaced_text(threat, masked):
    guard = Hashing()
    sample_together(by_beta(guard, threat, betas=(0.5, 0.2, 0.3)), EXAMPLE, 500, masked=masked)
    texts, images = guard.shown()
    pairs = [(image.tobytes(), text.tobytes()) for text, image in zip(texts, images, strict=True)]
    assert len(set(pairs)) == len(pairs)
    assert len({image for image, _ in pairs}) == 500
    last: dict[bytes, np.ndarray] = {}
    clean = np.append(EXAMPLE.token_ids, np.full(threat.slot, guard.pad_id))
    for text, (image, _) in zip(texts[::-1], pairs[::-1], strict=True):
        last.setdefault(image, text)
        kept = last[image] == clean
        assert np.all(text[kept] == clean[kept])  # what the last text keeps, every text of the image keeps
        assert np.all((text == clean) | (text == last[image]))


def test_together_every_kernel_keeps_its_own_law_of_positions_and_of_words():
    n, betas, clean = 20_000, (0.1, 0.35, 0.8), np.array([11, 29])
    source = replace(EXAMPLE, token_ids=clean)
    smoothed = by_beta(ToyGuard(), hrs.L0Threat(2), betas=betas)
    noised, stream = np.ones((1, 2), bool), Stream(0, source.id)
    texts = [noisy_texts(s.guard, s.kernel, clean, noised, None, stream, 0, n)[0][:, 0] for s in smoothed]
    for beta, shown in zip(betas, texts, strict=True):
        # the joint law of both words: 20 x 20 outcomes, each of known probability
        first, second = ((shown[:, i, None] == ToyGuard().alphabet).argmax(axis=1) for i in (0, 1))
        tally = np.bincount(20 * first + second, minlength=400)
        law = [np.where(ToyGuard().alphabet == word, 1 - beta, beta / 19) for word in clean]
        assert chisquare(tally, n * np.outer(*law).ravel()).pvalue > 1e-4
    for small, large in pairwise(texts):
        replaced = small != clean
        np.testing.assert_array_equal(small[replaced], large[replaced])


@pytest.mark.parametrize("other", [{"guard": ToyGuard()}, {"sigma": 0.3}, {"threat": NESTED}])
def test_only_what_differs_in_kernel_alone_is_sampled_together(other):
    first, second = by_beta(ToyGuard(), SUFFIX, betas=(0.1, 0.2))
    with pytest.raises(ValueError, match="differs in kernel alone"):
        sample_together([first, replace(second, **other)], EXAMPLE, 10)
    with pytest.raises(ValueError, match="at least one"):
        sample_together([], EXAMPLE, 10)


@pytest.mark.parametrize(("law", "message"), [({"tau": 3}, r"tau = 3\.0"), ({"tau": 0.1, "alpha": 0}, r"alpha = 0\.0")])
def test_what_cannot_be_certified_is_refused_before_it_is_drawn(law, message):
    guard = ToyGuard()
    with pytest.raises(ValueError, match=message):
        hrs.SmoothedGuard(guard, KERNEL, 0.2, SUFFIX).certify(EXAMPLE, 1000, **law)
    assert guard.seen == []


@pytest.mark.seconds
@pytest.mark.parametrize("masked", [False, True])
def test_an_image_and_its_counts_pass_few_functions(masked):
    """From the example to its frontier: the functions, checks aside, that are given the image or the counts."""
    image = np.full((3, 4, 4), 128 / 255, np.float32)
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX)
    passed = set()

    def given(value):
        if isinstance(value, np.ndarray):
            return value.shape[-3:] == image.shape
        return isinstance(value, (hrs.Example, *KINDS)) or (isinstance(value, list | tuple) and any(map(given, value)))

    def note(frame, event, _):
        code, folders = frame.f_code, Path(frame.f_code.co_filename).parts
        if event == "call" and "hybrid_rs" in folders and "_checks.py" not in folders and "<" not in code.co_name:
            arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            passed.update([code.co_qualname] if any(given(frame.f_locals[name]) for name in arguments) else [])

    sys.setprofile(note)
    try:
        smoothed.certify(hrs.Example("grey", np.array([11, 13]), image), 100, tau=0.01, masked=masked)
    finally:
        sys.setprofile(None)
    assert {"SmoothedGuard.certify", "asked", "frontiers_of"} <= passed
    assert len(passed) <= 24, sorted(passed)


def test_an_edit_of_a_text_that_is_not_read_is_refused_with_its_remedy():
    alone = SimpleNamespace(max_length=0)
    require_readable(alone, 0, "text")
    with pytest.raises(ValueError, match=r"text = 8 tokens .*: the guard judges the image alone.*give max_edits = 0"):
        require_readable(alone, 8, "text")
