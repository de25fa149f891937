"""Attacks that insert, delete and replace tokens: within the budget, of the allowed kind, never below the bound."""

import difflib

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.attacks import Draws, Effort
from hybrid_rs.attacks.edits import EditObjective, edited, effects, random_edits
from hybrid_rs.attacks.joint import attack_jointly, evaluate
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.threats import EditDistanceThreat
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard

EFFORT = Effort(draws=60, probes=120, candidates=24, steps=6, rounds=2, restarts=2, select=200)
EXAMPLE = hrs.Example("words", np.array([3, 7, 5, 7, 4]), np.full((3, 4, 4), 128 / 255, np.float32))
KINDS = ["all", "insertions", "deletions", "insertions and deletions"]


class Sevens:
    """Unsafe if there are more sevens than nines, and the image is not dark; differentiable in the image."""

    alphabet, pad_id, mask_id, margin = np.arange(10), 0, None, 0.0

    def scores(self, token_ids, images):
        words = (token_ids == 7).sum(axis=1) - (token_ids == 9).sum(axis=1) - 0.5
        return words + images.mean(axis=(1, 2, 3)) - 0.3

    def unsafe(self, token_ids, images):
        return self.scores(token_ids, images) > 0

    def gradients(self, token_ids, images):
        return self.scores(token_ids, images), None, np.full(images.shape, 1 / images[0].size, np.float32)


def smoothed_by(edits, max_edits=2, sigma=0.25):
    return DeletionSmoothedGuard(Sevens(), DeletionKernel(0.3, edits), sigma, EditDistanceThreat(max_edits))


def needed(text, other):
    """Insertions, deletions and substitutions of an alignment of two texts, from the standard library."""
    blocks = difflib.SequenceMatcher(None, text, other, autojunk=False).get_opcodes()
    changes = [(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in blocks if tag != "equal"]
    return tuple(sum(change) for change in zip(*changes, strict=True)) if changes else (0, 0)


@pytest.mark.parametrize("edits", KINDS)
@pytest.mark.parametrize("uses", ["verdicts", "gradients"])
def test_an_attack_keeps_to_its_budgets_and_kind_and_is_never_shown_to_be_below_the_bound(edits, uses):
    smoothed = smoothed_by(edits)
    counts = smoothed.sample(EXAMPLE, 4000)
    effort = Effort(**{**vars(EFFORT), "uses": uses})
    found = attack_jointly(smoothed, EXAMPLE, 2, 0.5, effort=effort)
    lost, gained = needed(EXAMPLE.token_ids.tolist(), found.token_ids.tolist())
    most = {"all": (2, 2), "insertions": (0, 2), "deletions": (2, 0), "insertions and deletions": (2, 2)}[edits]
    assert lost <= most[0]
    assert gained <= most[1]
    assert max(lost, gained) <= found.edits <= 2
    assert found.epsilon_used <= 0.5
    reached = evaluate(smoothed, EXAMPLE, found, 4000, alpha=0.001)
    bound = min(
        float(hrs.p_adv(counts.p_a(0.001)[0], 0.5, ratio, sigma=0.25)) for ratio in worst_ratios(smoothed.kernel, 2)
    )
    assert reached.upper >= bound
    assert reached.upper < counts.p_a(0.001)[0]  # it is an attack: the value is lower than the clean one


def test_the_best_edits_are_found():
    """Deleting both sevens, or writing two nines, leaves nothing to flag."""
    for edits in ("deletions", "insertions", "all"):
        smoothed = smoothed_by(edits, sigma=0.0)
        found = attack_jointly(smoothed, EXAMPLE, 2, 0.0, effort=EFFORT)
        words = found.token_ids.tolist()
        assert words.count(7) - words.count(9) <= 0
        assert found.edits == 2


def test_edits_are_counted_from_the_text_that_remains():
    objective = EditObjective(smoothed_by("all", 3), EXAMPLE, d=3)
    rng, text = np.random.default_rng(0), objective.text
    inserted = edited(objective, text, "insert", 2, rng)
    assert (inserted.shape[1], objective.edits(inserted)) == (6, 1)
    assert objective.edits(edited(objective, inserted, "delete", 2, rng)) == 0  # what was inserted is taken out again
    assert objective.edits(edited(objective, inserted, "delete", 0, rng)) == 2
    assert all(objective.edits(random_edits(objective)) <= 3 for _ in range(20))


def test_a_clean_token_keeps_its_deletions_wherever_it_moves():
    objective = EditObjective(smoothed_by("insertions", 2), EXAMPLE, d=2)
    draws = Draws(200, 1)
    longer = edited(objective, objective.text, "insert", 1, np.random.default_rng(0))
    kept = objective.kept(longer, draws)
    assert np.array_equal(np.delete(kept, 1, axis=1), objective.kept(objective.text, draws))
    assert 0.6 < kept[:, 1].mean() < 0.8


def test_the_noise_shows_which_tokens_carry_the_verdict():
    objective = EditObjective(smoothed_by("deletions", sigma=0.0), EXAMPLE, d=1, uses="verdicts")
    found = effects(objective, objective.text, EXAMPLE.image, objective.draws(2000))
    assert set(np.argsort(found, kind="stable")[:2]) == {1, 3}  # the sevens
