"""Guards that users bring: twenty lines of Python, and a scikit-learn pipeline, through the same protocol."""

import itertools
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hybrid_rs as hrs
from hybrid_rs.datasets import load_jsonl
from hybrid_rs.guards.pipeline import PipelineGuard
from hybrid_rs.storage.counts import CountsStore


class RedAndOpen:
    """Unsafe: more words say open than close, and the image is more red than green."""

    words = (",", "open", "close", "the", "valve", "slowly")
    alphabet = np.arange(len(words))
    pad_id = 0
    mask_id = len(words)

    def unsafe(self, token_ids, images):
        says_open = (token_ids == 1).sum(axis=1) > (token_ids == 2).sum(axis=1)
        is_red = images[:, 0].mean(axis=(1, 2)) > images[:, 1].mean(axis=(1, 2))
        return says_open & is_red


SIGMA, BETA, SIDE, SLOT, SHIFT = 0.5, 0.25, 4, 3, 0.8


def smoothed_value(words, slot, image):
    """The exact value of the smoothed guard: the noise of the slot enumerated, that of the image in closed form."""
    red, green = image[0].mean(), image[1].mean()
    is_red = norm.cdf((red - green) / (SIGMA * np.sqrt(2) / SIDE))
    size, value = len(RedAndOpen.words), 0.0
    for noised in itertools.product(range(size), repeat=len(slot)):
        kept = sum(a == b for a, b in zip(noised, slot, strict=True))
        text = [*words, *noised]
        if text.count(1) > text.count(2):
            value += (1 - BETA) ** kept * (BETA / (size - 1)) ** (len(slot) - kept)
    return is_red * value


@pytest.fixture(scope="module")
def setting():
    image = np.full((3, SIDE, SIDE), 0.3, np.float32)
    image[0] += 0.6
    example = hrs.Example("red", np.array([1, 3, 4, 1]), image, unsafe=True).rounded()
    kernel = hrs.UniformKernel(BETA, len(RedAndOpen.words))
    return example, hrs.SmoothedGuard(RedAndOpen(), kernel, SIGMA, hrs.SuffixThreat(SLOT))


def test_a_plain_class_is_a_guard():
    assert isinstance(RedAndOpen(), hrs.Guard)


def test_the_draws_of_a_plain_guard_are_of_the_value_computed_by_hand(setting):
    example, smoothed = setting
    value = smoothed_value(example.token_ids.tolist(), [0] * SLOT, example.image)
    counts = smoothed.sample(example, n=20_000)
    assert hrs.clopper_pearson_lower(counts.unsafe[0], counts.n, 1e-4) <= value
    assert value <= hrs.clopper_pearson_upper(counts.unsafe[0], counts.n, 1e-4)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, SHIFT])
def test_no_attack_on_a_plain_guard_is_better_than_the_certificate_says(setting, epsilon):
    """Every suffix is tried, with the image moved the worst way; the value of each is exact."""
    example, smoothed = setting
    words, pads = example.token_ids.tolist(), (0,) * SLOT
    away = np.zeros_like(example.image)
    away[0], away[1] = -1, 1
    attacked = example.image + epsilon * away / np.linalg.norm(away)
    p_a = smoothed_value(words, pads, example.image)
    for d in range(SLOT + 1):
        edits = [s for s in itertools.product(range(6), repeat=SLOT) if sum(t != 0 for t in s) <= d]
        worst = min(smoothed_value(words, suffix, attacked) for suffix in edits)
        bound = hrs.p_adv(p_a, epsilon, smoothed.kernel.likelihood_ratio(d), sigma=SIGMA)
        assert bound <= worst + 1e-12
    assert worst < p_a or epsilon == 0


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """Sixty pairs: lamps of two colours, orders of two kinds; unsafe where red meets open."""
    folder, rng, lines = tmp_path_factory.mktemp("lamps"), np.random.default_rng(0), []
    for i, (red, opens) in enumerate(itertools.product([True, False], repeat=2)):
        for j in range(15):
            bright, dark = rng.integers(170, 250), rng.integers(20, 90)
            colour = (int(bright), int(dark), 40) if red else (int(dark), int(bright), 40)
            Image.new("RGB", (8, 8), colour).save(folder / f"{i}-{j}.png")
            text = f"{rng.choice(['please', 'now'])} {'open' if opens else 'close'} the valve"
            lines.append({"image": f"{i}-{j}.png", "text": f"{text} {j}", "label": int(red and opens)})
    (folder / "lamps.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return load_jsonl(folder / "lamps.jsonl")


@pytest.fixture(scope="module")
def pipeline(entries):
    classifier = make_pipeline(StandardScaler(with_std=False), LogisticRegression())
    return PipelineGuard.fit(classifier, entries.entries, (8, 8), sigma=0.25, beta=0.25, slot=4)


def test_a_pipeline_is_a_guard_that_learned_its_task(pipeline, entries):
    assert isinstance(pipeline, hrs.Guard)
    examples = list(entries.examples(pipeline.encode, pipeline.image_size))
    right = [pipeline.unsafe(e.token_ids[None], e.image[None])[0] == e.unsafe for e in examples]
    assert np.mean(right) > 0.9


def test_a_pipeline_has_an_identity_of_all_that_its_verdicts_depend_on(pipeline, entries, tmp_path):
    def fitted(strength=1.0, **changed):
        law = {"image_size": (8, 8), "sigma": 0.25, "beta": 0.25, "slot": 4} | changed
        return PipelineGuard.fit(
            make_pipeline(StandardScaler(), LogisticRegression(C=strength)), entries.entries, **law
        )

    guard = fitted()
    assert guard.identity == fitted().identity
    read = pickle.loads(pickle.dumps(guard.classifier))  # as from a file
    assert replace(guard, classifier=read).identity == guard.identity
    others = [fitted(2.0), fitted(image_size=(4, 4)), replace(guard, positive=True)]
    others.append(replace(guard, vocabulary=guard.vocabulary[::-1]))
    assert len({each.identity for each in (guard, *others)}) == 5
    (example,) = itertools.islice(entries.examples(guard.encode, guard.image_size), 1)
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.25, hrs.SuffixThreat(4))
    (counts,) = CountsStore(tmp_path / "counts.jsonl", guard.identity).sample(smoothed, [example], n=64, progress=False)
    assert counts.n == 64
    with pytest.raises(ValueError, match="cannot be pickled"):
        replace(guard, classifier=lambda features: features).identity  # noqa: B018


def test_a_pipeline_sees_counts_of_words_and_pixels(pipeline):
    ids = pipeline.encode("open open valve zebra")
    assert ids[-1] == pipeline.unknown_id
    image = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    shown = pipeline.features(np.append(ids, pipeline.mask_id)[None], image)[0]
    counts = dict(zip(pipeline.vocabulary, shown, strict=False))
    assert (counts["open"], counts["valve"], sum(counts.values())) == (2, 1, 3)  # neither zebra nor mask
    np.testing.assert_allclose(shown[len(pipeline.vocabulary) :] * np.sqrt(192), image.ravel(), rtol=1e-6)
    with pytest.raises(ValueError, match="token_ids"):
        pipeline.features(np.array([[pipeline.mask_id + 1]]), image)
    np.testing.assert_array_equal(pipeline.features(ids[None, ::-1], image), pipeline.features(ids[None], image))


@pytest.mark.parametrize("threat", [hrs.SuffixThreat(4), hrs.L0Threat(2)])
@pytest.mark.parametrize("absorbing", [False, True])
def test_a_pipeline_is_certified_under_either_threat_and_kernel(pipeline, entries, threat, absorbing):
    kernel = hrs.AbsorbingKernel(0.25) if absorbing else hrs.UniformKernel(0.25, pipeline.alphabet.size)
    smoothed = hrs.SmoothedGuard(pipeline, kernel, 0.25, threat)
    example = next(e for e in entries.examples(pipeline.encode, pipeline.image_size) if e.unsafe)
    front = smoothed.certify(example, n=400, tau=0.01)
    assert front.radius(0) > 0
    assert np.all(np.diff(front.radii[: front.edits() + 1]) < 0)


def test_training_needs_both_labels_and_a_vocabulary_its_pad(entries):
    labelled = [entry for entry in entries if entry.unsafe]
    with pytest.raises(ValueError, match="safe and unsafe"):
        PipelineGuard.fit(LogisticRegression(), labelled, (8, 8), sigma=0.1, beta=0.1, slot=1)
    for words in (("open",), (",", "open", "open")):
        with pytest.raises(ValueError, match="vocabulary"):
            PipelineGuard(LogisticRegression(), words, (8, 8))
