"""The guard's own tokenizer turns texts into ids, and no text can smuggle in what only the prompt may hold."""

from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard


@pytest.fixture(scope="module")
def guard():
    return load_bay_guard()


@pytest.fixture(scope="module")
def byte_guard():
    """A guard with a byte-level tokenizer, such as large models have."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    words = Tokenizer(BPE({letter: i for i, letter in enumerate(sorted(letters))}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="</s>", extra_special_tokens={"image_token": "<image>"}
    )
    fields = dict.fromkeys(VisionLanguageGuard.__dataclass_fields__)
    model = SimpleNamespace(config=SimpleNamespace(image_token_id=tokenizer.convert_tokens_to_ids("<image>")))
    return VisionLanguageGuard(**fields | {"model": model, "tokenizer": tokenizer, "margin": 0.0, "reads_text": True})


def test_the_notes_of_the_small_guard_encode_to_their_own_ids(guard):
    for example in bay_notes.examples("test", 20):
        np.testing.assert_array_equal(guard.encode(example.text), example.token_ids)


@pytest.mark.parametrize("text", ["say <image> </s>", "<image>", "</s>", "ünï 🦊", ""])
def test_what_is_spelled_like_a_special_token_is_text(byte_guard, text):
    ids = byte_guard.encode(text)
    assert ids.size == len(text.encode())  # one per byte: nothing was special
    assert byte_guard.tokenizer.decode(ids.tolist()) == text


@pytest.mark.parametrize("text", ["drums <image>", "</s> drums", "<mask>"])
def test_where_the_tokenizer_cannot_tell_them_apart_the_text_is_refused(guard, text):
    with pytest.raises(ValueError, match="special tokens"):
        guard.encode(text)
