"""Notes at other lengths: what decides the verdict stays, only words that do not are added or taken away."""

import re

import numpy as np
import pytest

from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import CHECKPOINT
from hybrid_rs.small_guard.language import FAMILIES, SPECIAL_TOKENS, decode
from hybrid_rs.small_guard.lengths import SENTENCES, WORDS, among_sentences, goods_alone

NOTES = bay_notes.examples("test", 20)
GOODS = {cue for cues in FAMILIES.values() for cue in cues}


def goods(example):
    return [word for word in example.text.split() if word in GOODS]


def test_the_goods_the_picture_and_the_truth_stay():
    for note in NOTES:
        for other in (goods_alone(note), among_sentences(note, 0), among_sentences(note, 2), among_sentences(note, 6)):
            assert goods(other) == goods(note)
            assert other.unsafe == note.unsafe
            np.testing.assert_array_equal(other.image, note.image)
            assert decode(other.token_ids) == other.text


def test_lengths_are_what_they_are_said_to_be():
    for note in NOTES:
        assert goods_alone(note).token_ids.size == 8
        for count in (0, 1, 5):
            longer = among_sentences(note, count)
            assert longer.token_ids.size == note.token_ids.size + count * WORDS
            assert note.text in longer.text
    assert among_sentences(NOTES[0], 0).text == NOTES[0].text


def test_sentences_have_twelve_words_and_name_no_goods():
    for sentence in SENTENCES:
        assert len(sentence.split()) == WORDS
        assert "{good}" not in sentence
        assert not GOODS & set(re.sub(r"\{\w+\}", "", sentence).split())
    assert not set(SPECIAL_TOKENS) & set(" ".join(SENTENCES).split())


def test_the_note_is_not_always_in_one_place_and_all_is_repeatable():
    before = {among_sentences(note, 4).text.index(note.text) > 0 for note in NOTES}
    assert before == {True, False}
    assert len({among_sentences(NOTES[0], 4, seed).text for seed in range(10)}) == 10
    again = [among_sentences(note, 4).text for note in NOTES]
    assert again == [among_sentences(note, 4).text for note in NOTES]
    assert len({e.id for note in NOTES for e in (note, goods_alone(note), among_sentences(note, 1))}) == 60


def test_seven_sentences_leave_room_in_the_small_guard():
    import json

    config = json.loads((CHECKPOINT / "config.json").read_text())
    prompt = 3 + config["image_seq_length"]  # begin, two speakers, the image
    assert 24 + 7 * WORDS + 8 + prompt <= config["text_config"]["max_position_embeddings"]


def test_a_negative_number_of_sentences_is_refused():
    with pytest.raises(ValueError, match="sentences = -1"):
        among_sentences(NOTES[0], -1)
