"""What noise may write: printable tokens, short tokens, and a mask that is none of them."""

import numpy as np
import pytest
from small_models import save_llava, save_onevision, tokenizer

import hybrid_rs as hrs
from hybrid_rs.guards.alphabet import alphabet_of, mask_of, pad_of
from hybrid_rs.guards.vlm import VisionLanguageGuard


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece"])
def words(request):
    return tokenizer("<s>", "</s>", bos="<s>" if request.param == "sentencepiece" else None)


def special_of(words):
    return {*words.all_special_ids, *words.get_added_vocab().values()}


def decoded(words, ids):
    return [words.decode([token]) for token in ids.tolist()]


def test_printable_tokens_are_those_that_can_be_printed(words):
    everything, printable = (alphabet_of(words, special_of(words), chosen) for chosen in ("all", "printable"))
    left_out = np.setdiff1d(everything, printable)
    assert {*printable.tolist()} < {*everything.tolist()}
    assert all(text.isprintable() and text and "\ufffd" not in text for text in decoded(words, printable))
    assert all(text == "" or "\ufffd" in text or not text.isprintable() for text in decoded(words, left_out))
    assert pad_of(words) in printable
    np.testing.assert_array_equal(alphabet_of(words, special_of(words)), everything)


def test_a_limit_of_characters_leaves_longer_tokens_out_and_no_others(words):
    sizes = []
    for most in (1, 3, 100):
        ids = alphabet_of(words, special_of(words), "printable", most)
        rest = np.setdiff1d(alphabet_of(words, special_of(words), "printable"), ids)
        assert max(map(len, decoded(words, ids))) <= most < min(map(len, decoded(words, rest)), default=most + 1)
        assert pad_of(words) in ids
        sizes.append(ids.size)
    assert sizes[0] < sizes[1] < sizes[2]


def test_ids_that_were_chosen_are_limited_too(words):
    chosen = alphabet_of(words, special_of(words))[::2]
    few = alphabet_of(words, special_of(words), chosen, 1)
    assert 0 < few.size < chosen.size
    assert np.isin(few, chosen).all()
    with pytest.raises(ValueError, match=r"alphabet = 0 .*leave out special tokens"):
        alphabet_of(words, special_of(words), [0, *chosen])
    with pytest.raises(ValueError, match="alphabet = 'short': give one of all, printable"):
        alphabet_of(words, special_of(words), "short")
    with pytest.raises(ValueError, match="max_characters = 0: give a whole number of at least 1"):
        alphabet_of(words, special_of(words), "all", 0)


def test_a_mask_is_one_token_and_neither_pad_nor_picture(words):
    image = words.convert_tokens_to_ids("<image>")
    assert mask_of(words, "</s>", [image]) == words.eos_token_id
    assert words.decode([mask_of(words, "?", [image])]) == "?"
    for mask, message in (
        ("<image>", "mask = '<image>': it stands for an image"),
        (",", "mask = ',': it is the pad"),
        ("two words", "mask = 'two words': give a text that is one token; the special ones are .*</s>"),
        ("", "mask = '': give a text that is one token"),
    ):
        with pytest.raises(ValueError, match=message):
            mask_of(words, mask, [image])


@pytest.mark.parametrize("save", [save_onevision, save_llava])
def test_the_absorbing_kernel_certifies_a_guard_that_has_no_mask_of_its_own(tmp_path, save):
    folder = save(tmp_path)
    plain = VisionLanguageGuard.from_pretrained(folder)
    assert plain.mask_id is None
    guards = [VisionLanguageGuard.from_pretrained(folder, mask=mask) for mask in ("?", plain.tokenizer.eos_token)]
    assert [plain.alphabet.size - guard.alphabet.size for guard in guards] == [1, 0]  # an ordinary token is taken out
    assert len({guard.identity for guard in [plain, *guards]}) == 3
    for guard in guards:
        assert guard.mask_id not in guard.alphabet
        example = hrs.Example("a", guard.encode("is it safe"), np.zeros((3, *guard.image_size), np.float32))
        smoothed = hrs.SmoothedGuard(guard, hrs.AbsorbingKernel(1.0), 0.0, hrs.L0Threat(1))
        score = guard.scores(np.full((1, example.token_ids.size), guard.mask_id), example.image[None])[0]
        assert smoothed.sample(example, 3).unsafe == (3 * int(score > 0),)  # all is masked: one noisy text
