"""Tokens are printed as people read them, whatever the guard."""

import json
import sys

import numpy as np
import pytest

from hybrid_rs.cli.smoothing_options import Smoothing, alphabet_said
from hybrid_rs.cli.token_text import marked, spelled, text_of
from hybrid_rs.guards.endpoint import EndpointGuard
from hybrid_rs.guards.spelling import MASK
from hybrid_rs.guards.wording import Wording

WORDS = ("is", "this", "safe")


class Letters:
    alphabet, pad_id, mask_id = np.arange(32, 127), ord(","), 9999

    def encode(self, text):
        return [min(ord(letter), 126) for letter in text]

    def unsafe(self, token_ids, images):
        return np.ones(len(token_ids), bool)


class Vocabulary(Letters):
    def encode(self, text):
        return [WORDS.index(word) for word in text.split()]


class Decoding(Vocabulary):
    def decode(self, token_ids):
        return " ".join(WORDS[token] for token in token_ids)


class Behind:
    def __init__(self, guard):
        self.guard = guard


@pytest.mark.parametrize(
    ("guard", "ids", "said"),
    [
        (Letters(), [*b"is it"], "i[s] it"),
        (Letters(), [105, 9999], "i[<9999>]"),
        (Vocabulary(), [0, 2, 1], "0 [2] 1"),
        (Decoding(), [0, 2, 1], "is [safe] this"),
        (Behind(Decoding()), [0, 2, 1], "is [safe] this"),
        (object(), [105, 32], "105 [32]"),
    ],
)
def test_a_noisy_text_is_in_words(guard, ids, said):
    kept = np.arange(len(ids)) != 1
    assert marked(guard, np.array(ids), kept) == said


class Pieces:
    """A tokenizer whose pieces have something before each word."""

    def __init__(self, before):
        self.tokenizer, self.before = self, before

    def decode(self, token_ids):
        return "".join(self.before + WORDS[token] for token in token_ids)


@pytest.mark.parametrize(("before", "said"), [("", "is [safe] this"), (" ", " is[ safe] this")])
def test_words_of_a_tokenizer_have_spaces_between_them(before, said):
    assert marked(Pieces(before), np.array([0, 2, 1]), np.array([True, False, True])) == said


def test_an_endpoint_without_a_tokenizer_has_characters():
    guard = EndpointGuard("http://localhost:1/v1", "mine", image_size=(8, 8), wording=Wording())
    assert marked(guard, np.array([*b"is it"]), np.arange(5) != 3) == "is [i]t"
    assert (spelled(guard, 44), spelled(guard, guard.mask_id)) == ("','", repr(MASK))
    said = alphabet_said(Smoothing(kernel="absorbing").of(guard))
    assert f"the mask, '{MASK}'" in said
    assert said.endswith("read as ','.")


def test_a_sentence_has_a_number_only_where_nothing_else_is_known():
    assert (spelled(Letters(), 44), spelled(Letters(), 9999), spelled(object(), 44)) == (
        "','",
        "token 9999",
        "token 44",
    )
    assert (spelled(Vocabulary(), 1), spelled(Decoding(), 1)) == ("token 1", "'this'")


def test_what_a_guard_decodes_to_is_checked():
    wrong = type("Wrong", (Letters,), {"decode": lambda self, ids: ids})()
    with pytest.raises(ValueError, match=r"guard.decode\(token_ids\) = \[44\]: return a string"):
        text_of(wrong, 44)
    with pytest.raises(ValueError, match=r"Decoding.decode\(...\) = no answer, but IndexError"):
        text_of(Decoding(), 44)


SOURCE = """
import numpy as np

class Guard:
    alphabet, pad_id, mask_id, image_size, identity = np.arange(32, 127), 44, None, (8, 8), "spelled"
    def encode(self, text): return [ord(letter) for letter in text]
    def unsafe(self, token_ids, images): return np.ones(len(token_ids), bool)
"""


def test_show_prints_the_texts_of_a_guard_in_python(run, notes, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "spelled_guard.py").write_text(SOURCE)
    code, printed = run("show", notes, "--guard", "spelled_guard:Guard", "--max-edits", 2, "--limit", 1)
    assert code == 0, printed.err
    text = json.loads((notes / "notes.jsonl").read_text().splitlines()[0])["text"]
    assert printed.out.count(f"  {text}") == 4
    assert "read as ','." in printed.out
