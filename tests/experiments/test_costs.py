"""What a certificate costs: every way sees the same draws, and reads as many tokens as its formula says."""

import json
from dataclasses import replace

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import Work, agreement, measure, untrained, ways, whole_scores
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.smoothing.draws import Stream, noisy_texts

N, SLOT = 128, 8
LAW = {"sigma": 1.0, "beta": 0.25, "max_edits": SLOT}


@pytest.fixture(scope="module")
def guard():
    return load_bay_guard()


@pytest.fixture(scope="module")
def example():
    return bay_notes.examples("test", 3, unsafe=True)[1]


@pytest.fixture(scope="module")
def found(guard, example):
    return {name: measure(way, guard, example, N, **LAW) for name, way in ways(SLOT).items()}


def test_ways_that_ask_the_same_classifiers_count_the_same_verdicts(guard, example, found):
    counts = {name: unsafe for name, (unsafe, _) in found.items()}
    kernel = hrs.UniformKernel(LAW["beta"], guard.alphabet.size)
    nested, one_shot = (
        hrs.SmoothedGuard(guard, kernel, LAW["sigma"], hrs.SuffixThreat(SLOT, one_shot=one)) for one in (False, True)
    )
    frontier = nested.sample(example, N).unsafe
    assert 0 < min(frontier) <= max(frontier) < N
    for name in ("frontier, one run per d", "frontier, nested draws, whole prompts", "frontier, nested draws"):
        assert counts[name] == frontier
    assert counts["image only"] == frontier[:1]
    assert counts["one-shot"] == frontier[-1:]
    assert counts["one-shot, masked evidence"] == one_shot.sample(example, N, masked=True).unsafe


def test_whole_prompts_are_read_once_for_each_pair(guard, example, found):
    length = len(guard.before) + example.token_ids.size + SLOT + len(guard.after)
    for name in ("image only", "one-shot", "frontier, one run per d", "frontier, nested draws, whole prompts"):
        work = found[name][1]
        assert (work.tokens, work.images) == (work.pairs * length, work.pairs)
    assert found["image only"][1].pairs == N
    assert found["frontier, one run per d"][1].pairs == (SLOT + 1) * N


@pytest.mark.parametrize("masked", [False, True])
def test_nested_draws_read_each_prefix_once_the_least_any_causal_reader_can(guard, example, found, masked):
    threat = hrs.SuffixThreat(SLOT, one_shot=masked)
    clean = np.append(example.token_ids, np.full(SLOT, guard.pad_id))
    forced = threat.conditions(example.token_ids.size) if masked else None
    kernel, noised = hrs.UniformKernel(LAW["beta"], guard.alphabet.size), threat.noised(example.token_ids.size)
    texts, _ = noisy_texts(guard, kernel, clean, noised, forced, Stream(0, example.id), 0, N)
    ends = np.broadcast_to(guard.after, (*texts.shape[:2], len(guard.after)))
    prompts = np.concatenate(
        [np.broadcast_to(guard.before, (*texts.shape[:2], len(guard.before))), texts, ends], axis=2
    )
    prefixes = sum(len({row[:k].tobytes() for row in draw for k in range(1, row.size + 1)}) for draw in prompts)
    work = found["one-shot, masked evidence" if masked else "frontier, nested draws"][1]
    assert (work.tokens, work.images) == (prefixes, N)
    assert work.pairs == sum(len({row.tobytes() for row in draw}) for draw in prompts)


def test_expected_tokens_are_the_mean_of_what_is_read(guard, example):
    length, n = len(guard.before) + example.token_ids.size + SLOT + len(guard.after), 512
    for name in ("frontier, nested draws", "one-shot, masked evidence"):
        way = ways(SLOT)[name]
        expected = way.expected_tokens(length, len(guard.after), beta=0.25)
        work = measure(way, guard, example, n, **LAW)[1]
        spread = np.sqrt(n * 0.25 * 0.75 * np.sum((np.arange(SLOT) + 1 + len(guard.after)) ** 2))
        assert abs(work.tokens - n * expected) < 4 * spread


def test_work_stops_being_counted_when_the_run_ends(guard, example, found):
    work = found["image only"][1]
    before = replace(work)
    guard.unsafe(example.token_ids[None], example.image[None])
    assert work == before != Work()


def test_more_image_tokens_make_a_longer_prompt_of_the_same_words(guard, example):
    wide = untrained(guard, patch_size=4)
    placeholder = guard.model.config.image_token_id
    assert (wide.before == placeholder).sum() == 64
    np.testing.assert_array_equal(wide.before[wide.before != placeholder], guard.before[guard.before != placeholder])
    scores = whole_scores(wide, example.token_ids[None], example.image[None])
    np.testing.assert_allclose(wide.scores(example.token_ids[None], example.image[None]), scores, atol=1e-4)


def test_agreement_sums_draws_and_keeps_the_worst_of_each_setting(tmp_path):
    line = {"setting": "a", "draws": 10, "pairs": 20, "unsafe": 5, "largest_difference": 1e-6, "least_distance": 0.1}
    worse = {"setting": "b", "largest_difference": 2e-6, "least_distance": 1e-7, "differ": [[1e-7, -1e-7]]}
    lines = [line | {"differ": []}, line | {"differ": [], "least_distance": 0.2}, line | worse]
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps(each) for each in lines) + "\n")
    table = agreement(tmp_path / "lines.jsonl")
    assert table.index.tolist() == ["a", "b", "all"]
    assert table["draws"].tolist() == [20, 10, 30]
    assert table["differ"].tolist() == [0, 1, 1]
    assert table["largest_difference"].tolist() == [1e-6, 2e-6, 2e-6]
    assert table["least_distance"].tolist() == [0.1, 1e-7, 1e-7]
