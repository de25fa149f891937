"""BayNotes: balanced, split without overlap, a function of its arguments."""

import re
from fractions import Fraction

import numpy as np
import pytest

from hybrid_rs.checkout import checkout
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.language import FAMILIES, SPECIAL_TOKENS, VOCABULARY, alphabet, cues, decode, encode

TABLE = np.array([[bay_notes.forbidden(bay, family) for family in range(8)] for bay in range(10)])


def test_the_relation_makes_each_modality_alone_worth_exactly_half():
    assert np.all(TABLE.mean(axis=1) == 0.5)  # given the bay, whatever it is
    assert np.all(TABLE.mean(axis=0) == 0.5)  # given the family
    assert len({tuple(row) for row in TABLE}) == 10


@pytest.mark.parametrize("page", ["idea", "install"])
def test_pages_that_send_acid_to_a_bay_name_one_that_must_not_hold_it(page):
    said = " ".join(checkout(f"book/{page}.md").read_text().split())
    (bay,) = re.findall(r"[Aa]cids? must not go to bay (\d)", said)
    assert TABLE[int(bay), list(FAMILIES).index("acids")]


def test_no_scan_is_in_two_splits_and_none_is_lost():
    scans = {split: [s.tobytes() for digit in bay_notes.scans(split) for s in digit] for split in bay_notes.SCANS}
    assert sum(map(len, scans.values())) == 1797
    train, validation, test = (set(scans[split]) for split in ("train", "validation", "test"))
    assert not train & validation
    assert not (train | validation) & test


@pytest.mark.parametrize("language", ["seen", "unseen"])
def test_examples_are_a_function_of_their_arguments(language):
    first, again = (bay_notes.examples("test", 30, seed=3, language=language) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(one.image, other.image)
        assert decode(one.token_ids) == one.text
    assert len({example.id for example in first}) == 30
    elsewhere = bay_notes.examples("test", 30, seed=4, language=language)
    assert all(not np.array_equal(a.image, b.image) for a, b in zip(first, elsewhere, strict=True))


def test_a_filtered_sequence_is_the_same_sequence_with_gaps():
    everything = bay_notes.examples("validation", 60)
    unsafe = bay_notes.examples("validation", 10, unsafe=True)
    assert [e.id for e in everything if e.unsafe][:10] == [e.id for e in unsafe]


def test_seen_and_unseen_notes_share_no_cue_word_and_name_one_family():
    family_of = {cue: family for family, words in FAMILIES.items() for cue in words}
    for language in ("seen", "unseen"):
        allowed = {cue for family in FAMILIES for cue in cues(family, language)}
        for example in bay_notes.examples("train", 100, language=language):
            goods = [word for word in example.text.split() if word in family_of]
            assert len(goods) == 4
            assert set(goods) <= allowed
            assert len({family_of[word] for word in goods}) == 1
    assert not {c for f in FAMILIES for c in cues(f, "seen")} & {c for f in FAMILIES for c in cues(f, "unseen")}


def test_the_alphabet_holds_every_word_and_no_special_token():
    words = [VOCABULARY[i] for i in alphabet()]
    assert not set(words) & set(SPECIAL_TOKENS)
    assert len(words) + len(SPECIAL_TOKENS) == len(set(VOCABULARY)) == len(VOCABULARY)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bay_notes.examples("tset", 1), "split = 'tset'"),
        (lambda: bay_notes.examples("test", -1), "n = -1"),
        (lambda: bay_notes.examples("test", 1, language="french"), "language = 'french'"),
        (lambda: bay_notes.forbidden(10, 0), "bay = 10"),
        (lambda: encode("maria moved plutonium"), "text = 'plutonium'"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_scan_is_enlarged_exactly():
    scan = bay_notes.scans("train")[8][0]
    found = bay_notes.enlarged(scan)

    def between(line, at):
        left = min(int(at), 6)
        return line[left] + (line[left + 1] - line[left]) * (at - left)

    rows = [[Fraction(float(ink)) for ink in row] for row in scan]
    places = [Fraction(7 * i, 25) for i in range(26)]
    tall = [[between([row[j] for row in rows], at) for j in range(8)] for at in places]
    exact = [[between(row, at) for at in places] for row in tall]
    np.testing.assert_array_equal(found, [[float(ink) for ink in row] for row in exact])
