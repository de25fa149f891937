"""The answers are read after the actual prompt: of each spelling both words as one token, or neither."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerFast

from hybrid_rs.guards.prompt import opened, prompt, untrusted_ids
from hybrid_rs.guards.wording import Wording

LETTERS = sorted(set('USER: untrusted-text-goes-here ASSISTANT:{"rating": "Answer, the words are safe or unsafe}\n'))
STEM = ["s a", "sa f", "saf e"]


class Chat:
    """A processor without images: a template, and a tokenizer of letters and some merges, with spaces as Llama's."""

    def __init__(self, *merges, ending="ASSISTANT:"):
        pairs = [tuple(merge.split()) for merge in (*STEM, *merges)]
        symbols = ["<unk>", "\u2581", *(c for c in LETTERS if c != " "), *("".join(pair) for pair in pairs)]
        ids = {symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}
        words = Tokenizer(models.BPE(ids, pairs, unk_token="<unk>"))
        words.normalizer = normalizers.Replace(" ", "\u2581")
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
        self.ending = ending

    def apply_chat_template(self, conversation, add_generation_prompt):
        return "USER: " + " ".join(part.get("text", "") for part in conversation[0]["content"]) + " " + self.ending

    def __call__(self, text, images, add_special_tokens, return_tensors):
        return {"input_ids": np.array([self.tokenizer.encode(text)])}

    def answers(self, answer_prefix=""):
        asked = prompt(self, (8, 8), Wording(answer_prefix=answer_prefix))
        return tuple(self.tokenizer.convert_ids_to_tokens(list(ids)) for ids in (asked.safe_ids, asked.unsafe_ids))


WITH_SPACE = ("\u2581 u", "\u2581u n", "\u2581un safe", "\u2581 safe")  # "unsafe" is one token after a space alone


def test_a_spelling_counts_only_if_both_words_are_one_token_where_the_answer_begins():
    assert Chat(*WITH_SPACE).answers() == (["\u2581safe"], ["\u2581unsafe"])
    assert Chat(*WITH_SPACE, "u n", "un safe").answers() == (["safe", "\u2581safe"], ["\u2581unsafe", "unsafe"])


@pytest.mark.parametrize("prefix", ['{"rating": "', "\n"])
def test_an_answer_prefix_after_which_one_word_falls_apart_is_refused(prefix):
    """Else the mass of "safe" would meet that of a token that cannot follow, and win."""
    with pytest.raises(
        ValueError, match=r"^answer_prefix = '[^U]*': .*safe and unsafe is one token in both words.*'Answer:'"
    ):
        Chat(*WITH_SPACE).answers(prefix)
    assert Chat(*WITH_SPACE, "u n", "un safe").answers(prefix) == (["safe"], ["unsafe"])
    assert Chat(*WITH_SPACE).answers("Answer:") == (["\u2581safe"], ["\u2581unsafe"])


def test_a_word_that_merges_with_the_prompt_is_no_answer():
    """ "-un" and "safe": the prompt would have to be read otherwise."""
    merges = (*WITH_SPACE, "u n", "un safe", '" safe')
    assert Chat(*merges).answers() == (["safe", "\u2581safe"], ["\u2581unsafe", "unsafe"])
    with pytest.raises(ValueError, match="answer_prefix"):
        Chat(*merges).answers('"')


def test_a_text_is_read_as_it_is_in_the_prompt():
    """Alone it would begin with a space, as in the tokenizers of Llama, and be other tokens."""
    chat = Chat()
    chat.tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    spelled = chat.tokenizer.convert_ids_to_tokens
    assert spelled(untrusted_ids(chat.tokenizer, "words", []).tolist())[0] == "\u2581"
    assert spelled(untrusted_ids(chat.tokenizer, "words", [], "USER:\n").tolist()) == list("words")
    assert spelled(untrusted_ids(chat.tokenizer, " words", [], "USER:").tolist()) == list("\u2581words")


def test_spaces_of_the_template_before_a_text_are_read_with_the_text():
    chat = Chat("\u2581 u")  # the tokenizer joins a space and the letter after it
    opening, ending, lead = opened(chat, Wording())
    assert (opening, ending, lead) == ("USER:", " ASSISTANT:", "  ")
    before = chat.tokenizer.convert_ids_to_tokens(prompt(chat, (8, 8), Wording(), one_token=False).before.tolist())
    assert before == list("USER:")


def test_a_text_that_merges_with_the_prompt_after_it_is_refused():
    with pytest.raises(ValueError, match=r"processor = 'USER:  untrusted.*: it reads a text within this prompt"):
        Chat("e \u2581", *WITH_SPACE, "u n", "un safe").answers()


def test_an_unknown_word_is_no_answer():
    with pytest.raises(ValueError, match=r"^answers = 'safe,unsafe': no spelling .*answer_prefix.*--generate"):
        Chat().answers()


def test_a_beginning_that_would_join_the_prompt_is_read_alone():
    """The prompt before a text is the same for all texts, so no token of it may depend on the text."""
    chat = Chat(": w")
    spelled = chat.tokenizer.convert_ids_to_tokens
    assert ":w" in spelled(chat.tokenizer("USER:words")["input_ids"])
    assert spelled(untrusted_ids(chat.tokenizer, "words", [], "USER:").tolist()) == list("words")
