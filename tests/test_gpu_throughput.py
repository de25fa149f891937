"""The benchmark counts what torch counts, and its models are guards of the shapes that they stand for."""

import importlib.util
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import save_llava, save_onevision
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hybrid_rs.guards.vlm import VisionLanguageGuard

SOURCE = Path(__file__).parents[1] / "benchmarks" / "gpu_throughput.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("gpu_throughput", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def operations():
    """Torch's own count, with attention as the products of matrices that it consists of."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter


@pytest.mark.parametrize("save", [save_llava, save_onevision])
def test_operations_are_those_that_torch_counts_but_for_what_causality_hides(benchmark, save, tmp_path):
    guard = VisionLanguageGuard.from_pretrained(save(tmp_path), batch_size=4)
    rng, text = np.random.default_rng(0), guard.model.config.text_config
    texts, images = rng.choice(guard.alphabet, (8, 6)), rng.random((8, 3, *guard.image_size), dtype=np.float32)
    with benchmark.counted(guard.model) as total, operations() as counter:
        guard.scores(texts, images)
    length = len(guard.before) + texts.shape[1] + len(guard.after)
    hidden = 4 * text.num_hidden_layers * text.hidden_size * len(texts) * (length * (length - 1) / 2)
    assert total[0] == pytest.approx(counter.get_total_flops() - hidden, rel=1e-9)
    # branches read a token or two on known keys and values
    texts[1:] = texts[0]
    texts[1:, -1] = guard.alphabet[1:8]
    with benchmark.counted(guard.model) as total, operations() as counter:
        guard.scores(texts, images, np.zeros(8, dtype=int))
    assert 0.8 * counter.get_total_flops() < total[0] <= counter.get_total_flops()


@pytest.mark.parametrize("shape", ["LLaVA-1.5-7B", "OneVision-0.5B"])
def test_a_guard_of_random_weights_answers(benchmark, shape):
    torch.manual_seed(0)
    guard = benchmark.random_guard(benchmark.SHAPES[shape](True), "cpu", "float32", policy=5, batch_size=8)
    image = np.zeros((1, 3, *guard.image_size), dtype=np.float32)
    assert np.isfinite(guard.scores(guard.alphabet[None, :4], image)).all()


@pytest.mark.parametrize(("shape", "billions", "tokens"), [
    ("LLaVA-1.5-7B", 7.06, 576), ("OneVision-0.5B", 0.9, 1485), ("OneVision-7B", 8.03, 1485),
])  # fmt: skip
def test_the_shapes_are_those_of_the_large_models(benchmark, shape, billions, tokens):
    """Parameters as the hub states them, on the meta device; the tokens of one image at the vision tower's size."""
    from transformers import AutoModelForImageTextToText

    config = benchmark.SHAPES[shape](False)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert sum(weight.numel() for weight in model.parameters()) / 1e9 == pytest.approx(billions, rel=0.02)
    side = config.vision_config.image_size // config.vision_config.patch_size
    assert tokens == (side**2 if config.model_type == "llava" else side**2 + side * (side + 1))


def test_without_a_gpu_it_says_what_to_do(benchmark, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu_throughput.py"])
    with pytest.raises(SystemExit, match="--tiny --device cpu"):
        benchmark.main()


@pytest.fixture(scope="module")
def small(benchmark):
    torch.manual_seed(0)
    return benchmark.random_guard(benchmark.SHAPES["LLaVA-1.5-7B"](True), "cpu", "float32", policy=0, batch_size=64)


def test_no_way_runs_out_of_memory_while_it_is_timed(benchmark, small, monkeypatch, capsys):
    """A device that holds 40 short continuations, or fewer whole prompts."""
    failed, seen, measure = [], [], benchmark.measure

    def little_memory(module, args, given):
        rows, length, _ = given["inputs_embeds"].shape
        if rows * length > 600:
            failed.append(rows)
            raise torch.OutOfMemoryError("out of memory")

    def watched(way, *arguments, **options):
        before = len(failed)
        found = measure(way, *arguments, **options)
        seen.append((way.name, len(failed) - before))
        return found

    monkeypatch.setattr(benchmark, "measure", watched)
    hook = small.model.model.language_model.register_forward_pre_hook(little_memory, with_kwargs=True)
    try:
        found = benchmark.report("small", small, "cpu", 64, 1e9, tiny=True)
    finally:
        hook.remove()
    assert sum(failures for _, failures in seen[::2]) > 0  # while warming up
    assert [failures for _, failures in seen[1::2]] == [0] * len(found["ways"])
    assert all(row["batch_size"] < 64 for row in found["ways"])
    assert small.batch.size == 64


def test_figures_are_kept_with_their_provenance_and_the_goals(benchmark, monkeypatch, capsys, tmp_path):
    file = tmp_path / "throughput.jsonl"
    options = ["--tiny", "--device", "cpu", "--shape", "LLaVA-1.5-7B", "--draws", "64", "--json", str(file)]
    monkeypatch.setattr("sys.argv", ["gpu_throughput.py", *options])
    benchmark.main()
    line = json.loads(file.read_text())
    origin, kept = line["provenance"], line["figures"]
    assert {"commit", "parameters", "versions", "device"} <= origin.keys()
    assert origin["parameters"]["tiny"] is True
    assert kept["random_weights"] is True
    [guard] = kept["guards"]
    rows = {row["way"]: row for row in guard["ways"]}
    assert list(rows) == list(benchmark.ways(8))
    assert rows["image only"]["ratio_to_image_only"] == 1
    for row in guard["ways"]:
        share = row["operations_per_draw"] / row["seconds_per_draw"] / kept["operations_per_second"]
        assert row["share_of_ceiling"] == pytest.approx(share)
        assert row["half_of_ceiling"] is (share >= 0.5)
        cheap = (row["ratio_to_image_only"] <= 1.25) if row["way"].startswith("frontier") else None
        assert row["frontier_cheap"] is cheap
    assert rows["frontier, nested draws"]["tokens_per_draw"] > rows["one-shot"]["tokens_per_draw"]
    assert "no figure below is of a large one" in capsys.readouterr().out
