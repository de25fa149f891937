"""BayOrders: the rules and the words of BayNotes, no text and no picture of it."""

import re

import numpy as np
import pytest

from hybrid_rs.small_guard import language as bay_language, notes as bay_notes, orders as bay_orders
from hybrid_rs.small_guard.language import FAMILIES, decode, encode

FAMILY_OF = {cue: family for family, cues in FAMILIES.items() for cue in cues}


def test_the_label_is_the_rule_of_the_family_that_the_text_names_and_of_the_bay():
    table = np.array([[bay_notes.forbidden(bay, family) for family in range(8)] for bay in range(10)])
    assert np.all(table.mean(axis=0) == 0.5)  # given the text alone, whatever it is
    assert np.all(table.mean(axis=1) == 0.5)  # given the picture alone
    named = []
    for example in bay_orders.examples(300):
        (family,) = {FAMILY_OF[word] for word in example.text.split() if word in FAMILY_OF}
        named.append((list(FAMILIES).index(family), example.unsafe))
    labels = [{unsafe for family, unsafe in named if family == wanted} for wanted in range(8)]
    assert all(found == {True, False} for found in labels)


def test_every_template_names_one_or_two_goods_in_words_of_the_vocabulary_and_is_none_of_baynotes():
    known = bay_language._SEEN_TEMPLATES + bay_language._UNSEEN_TEMPLATES + bay_language._GLOSSARY_TEMPLATES
    assert not set(bay_orders.TEMPLATES) & set(known)
    for template in bay_orders.TEMPLATES:
        assert template.count("{good}") in (1, 2)
        assert 6 <= len(template.split()) <= 38
        encode(re.sub(r"\{\w+\}", "", template))
    assert not set(bay_orders.NEUTRAL_TEXT.split()) & set(FAMILY_OF)
    encode(bay_orders.NEUTRAL_TEXT)


def test_examples_are_a_function_of_their_arguments():
    first, again = (bay_orders.examples(30, seed=3) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.image, other.image)
        assert decode(one.token_ids) == one.text
    assert len({example.id for example in first}) == 30
    unsafe = bay_orders.examples(10, seed=3, unsafe=True)
    assert [e.id for e in first if e.unsafe][:10] == [e.id for e in unsafe]


def test_pictures_keep_all_ink_on_the_paper_and_are_drawn_otherwise_than_in_baynotes():
    scan = bay_notes.scans("test")[0][0]
    rng = np.random.default_rng(0)
    images = np.stack([bay_orders.draw_image(rng, scan) for _ in range(200)])
    low, high = bay_orders.PAPER
    assert images.max() <= high
    corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].max(axis=2)  # one corner at least shows the paper
    assert np.all(corners >= low)
    assert np.any(corners < 0.85)  # which no paper of BayNotes is
    ink = (np.median(images, axis=(2, 3), keepdims=True) - images).mean(axis=1).clip(0)
    rows = (ink.sum(axis=2) * np.arange(32)).sum(axis=1) / ink.sum(axis=(1, 2))
    assert np.ptp(rows) > 3  # the digit wanders


def test_the_blank_image_is_paper():
    blank = bay_orders.blank_image()
    assert blank.shape == bay_notes.IMAGE_SHAPE
    assert len(np.unique(blank)) == 1
    assert bay_orders.PAPER[0] < blank[0, 0, 0] < bay_orders.PAPER[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bay_orders.examples(-1), "n = -1"),
        (lambda: bay_orders.examples(1, seed=-2), "seed = -2"),
        (lambda: bay_orders.examples(1, unsafe="yes"), "unsafe = 'yes'"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
