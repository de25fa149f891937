"""One modality smoothed: its certificate holds there, is broken by touching the other, and trials are kept."""

from dataclasses import replace

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.baselines.unimodal import image_only, text_only, trials

SEVEN, EFFORT = 7, Effort(draws=64, steps=4, rounds=1, restarts=1, select=64)
EXAMPLE = hrs.Example("grey", np.array([1, 2]), np.full((3, 4, 4), 128 / 255, np.float32))


class Together:
    """Unsafe while bright enough for the number of sevens: either modality alone can make it safe."""

    alphabet, pad_id, mask_id = np.arange(10), 0, None

    def __init__(self):
        self.asked = 0

    def scores(self, token_ids, images):
        self.asked += len(token_ids)
        return images.mean(axis=(1, 2, 3)) - 0.3 - 0.4 * (token_ids == SEVEN).sum(axis=1)

    def unsafe(self, token_ids, images):
        return self.scores(token_ids, images) > 0


def tried(path, guard, name, budgets=((0, 0.0), (1, 0.0), (0, 2.0)), sigma=0.5, beta=0.25, most=1, **options):
    threat = hrs.L0Threat(most)
    smoothed = {
        "image only": image_only(guard, sigma, threat),
        "text only": text_only(guard, hrs.UniformKernel(beta, 10), threat),
    }[name]
    law = {"n": 1000, "classifier": "c", "store": path, "effort": EFFORT} | options
    return trials(name, smoothed, [EXAMPLE], budgets, **law)


def test_the_noise_is_in_one_modality_alone():
    guard, threat = Together(), hrs.L0Threat(1)
    assert image_only(guard, 0.5, threat).kernel.beta == 0
    assert text_only(guard, hrs.UniformKernel(0.25, 10), threat).sigma == 0


@pytest.mark.parametrize(("name", "own", "other"), [("image only", 2, 1), ("text only", 1, 2)])
def test_a_unimodal_certificate_holds_in_its_modality_and_is_broken_through_the_other(tmp_path, name, own, other):
    found = tried(tmp_path / "t.jsonl", Together(), name)
    p_a = hrs.clopper_pearson_lower(found["unsafe"][0], 1000, 0.001)
    kernel, text = hrs.UniformKernel(0.25, 10), name == "text only"
    ratio = kernel.likelihood_ratio(1) if text else hrs.LikelihoodRatio.identity()
    promised = hrs.p_adv(p_a, 0.0 if text else 2.0, ratio, sigma=0.5)
    left = hrs.clopper_pearson_upper(found["unsafe"], 1000, 0.001)
    assert left[own] >= promised > 0
    assert left[other] < promised


def test_what_was_tried_is_read_and_not_tried_again(tmp_path):
    path, guard = tmp_path / "t.jsonl", Together()
    first = tried(path, guard, "image only")
    assert guard.asked > 0
    guard.asked = 0
    assert tried(path, guard, "image only").equals(first)
    assert tried(path, guard, "image only", ((1, 0.0),))["unsafe"].tolist() == [first["unsafe"][1]]
    assert guard.asked == 0
    tried(path, guard, "text only", ((0, 0.0),))
    others = [{"n": 500}, {"classifier": "other"}, {"seed": 1}, {"effort": replace(EFFORT, steps=5)}, {"most": 2}]
    others += [{"sigma": 0.6}, {"name": "text only", "beta": 0.9}]
    for changed in others:  # each is another trial
        with pytest.raises(ValueError, match="it lacks grey at d = 0"):
            tried(path, guard, **{"name": "image only", "budgets": ((0, 0.0),), "search": False} | changed)
        guard.asked = 0
        tried(path, guard, **{"name": "image only", "budgets": ((0, 0.0),)} | changed)
        assert guard.asked > 0
    assert len(path.read_text().splitlines()) == 4 + len(others)


def test_a_trial_that_was_cut_off_is_made_again(tmp_path):
    path = tmp_path / "t.jsonl"
    first = tried(path, Together(), "image only", ((0, 0.0), (1, 0.0)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert tried(path, Together(), "image only", ((0, 0.0), (1, 0.0))).equals(first)
    assert path.read_bytes() == whole
