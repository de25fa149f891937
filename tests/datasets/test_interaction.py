"""The interaction-only filter keeps exactly what is flagged together and not alone, whatever guard and lengths."""

import numpy as np
import pytest

from hybrid_rs.datasets import interaction
from hybrid_rs.datasets.interaction import interaction_only
from hybrid_rs.smoothing.example import Example

BLANK, BRIGHT = np.zeros((3, 4, 4), np.float32), np.ones((3, 4, 4), np.float32)
NEUTRAL = [0, 0, 0]


class Scores:
    """Unsafe where the sum of the ids and of the mean pixel exceeds a bound."""

    alphabet, pad_id, mask_id = np.arange(100), 0, None

    def __init__(self, bound):
        self.bound = bound

    def unsafe(self, token_ids, images):
        return token_ids.sum(axis=1) + images.mean(axis=(1, 2, 3)) > self.bound


def pairs(*cases):
    return [Example(str(i), np.array(ids), image) for i, (ids, image) in enumerate(cases)]


def test_each_condition_alone_decides():
    examples = pairs(([1], BRIGHT), ([2], BRIGHT), ([0], BRIGHT), ([1], BLANK))
    found = interaction_only(Scores(1.5), examples, neutral_text=NEUTRAL, blank_image=BLANK)
    np.testing.assert_array_equal(found.text_safe, [True, False, True, True])
    np.testing.assert_array_equal(found.image_safe, [True] * 4)
    np.testing.assert_array_equal(found.together_unsafe, [True, True, False, False])
    np.testing.assert_array_equal(found.mask, [True, False, False, False])
    assert found.shares == {
        "image safe alone": 1.0,
        "text safe alone": 0.75,
        "unsafe together": 0.5,
        "interaction only": 0.25,
    }
    image_alone = interaction_only(Scores(0.5), pairs(([0], BRIGHT)), neutral_text=NEUTRAL, blank_image=BLANK)
    assert not image_alone.image_safe[0]
    assert not image_alone.mask[0]


def test_a_guard_of_one_modality_has_no_interaction():
    class TextOnly(Scores):
        def unsafe(self, token_ids, images):
            return super().unsafe(token_ids, 0 * images)

    class ImageOnly(Scores):
        def unsafe(self, token_ids, images):
            return super().unsafe(0 * token_ids, images)

    rng = np.random.default_rng(0)
    examples = pairs(*((rng.integers(0, 3, size=rng.integers(1, 6)), rng.choice([BLANK, BRIGHT])) for _ in range(50)))
    for guard in (TextOnly(1.5), ImageOnly(0.5)):
        found = interaction_only(guard, examples, neutral_text=NEUTRAL, blank_image=BLANK)
        assert found.together_unsafe.any()
        assert not found.mask.any()


def test_batches_of_mixed_lengths_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    examples = pairs(*((rng.integers(0, 2, size=rng.integers(1, 5)), rng.choice([BLANK, BRIGHT])) for _ in range(40)))
    whole = interaction_only(Scores(1.5), examples, neutral_text=NEUTRAL, blank_image=BLANK)
    monkeypatch.setattr(interaction, "BATCH", 3)
    parts = interaction_only(Scores(1.5), examples, neutral_text=NEUTRAL, blank_image=BLANK)
    one_by_one = [interaction_only(Scores(1.5), [e], neutral_text=NEUTRAL, blank_image=BLANK).mask[0] for e in examples]
    assert 0 < whole.mask.sum() < 40
    np.testing.assert_array_equal(parts.mask, whole.mask)
    np.testing.assert_array_equal(one_by_one, whole.mask)


def test_nothing_has_no_share():
    found = interaction_only(Scores(1), [], neutral_text=NEUTRAL, blank_image=BLANK)
    assert found.mask.shape == (0,)
    assert np.isnan(found.shares["interaction only"])


def test_bad_input_is_named_with_its_value():
    with pytest.raises(ValueError, match=r"neutral_text = \(1, 2\)"):
        interaction_only(Scores(1), [], neutral_text=[[1, 2]], blank_image=BLANK)
    with pytest.raises(ValueError, match=r"0: image = \(3, 4, 4\): give the blank image's shape, \(3, 8, 8\)"):
        interaction_only(Scores(1), pairs(([1], BLANK)), neutral_text=NEUTRAL, blank_image=np.zeros((3, 8, 8)))
