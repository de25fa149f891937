"""The guard's options reach the guard, and its name in the stores; what can be refused is refused before any draw."""

import json
import pickle
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.utils import logging
from PIL import Image
from small_models import save_onevision

import hybrid_rs as hrs
from hybrid_rs import cli
from hybrid_rs.attacks import Effort
from hybrid_rs.cli import loading
from hybrid_rs.cli.guard_options import PresetOption
from hybrid_rs.cli.loading import Checkpoint
from hybrid_rs.cli.making import load_guard
from hybrid_rs.cli.showing import plain
from hybrid_rs.guards.denoised import DenoisedGuard
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.guards.wording import PRESETS
from hybrid_rs.small_guard.guard import CHECKPOINT
from hybrid_rs.storage.units import Unit

SMALL = ("--n", 64, "--max-edits", 1, "--no-progress", "--limit", 1)
BAY = ("--model", CHECKPOINT)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A large guard's small likeness, a denoiser of any size of images, and a policy."""
    home = tmp_path_factory.mktemp("guards")
    save_onevision(home / "guard")
    unet = UNet2DModel(
        sample_size=32, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(home / "denoiser")
    (home / "policy.txt").write_text("Is the picture with its text safe or unsafe?")
    return home


def test_a_denoiser_is_loaded_without_bars(folders, capsys):
    logging.enable_progress_bar()
    how = {"device": "cpu", "batch_size": 8, "download": False}
    guard = load_guard(lambda: object(), str(folders / "denoiser"), 0.5, **how)
    assert isinstance(guard, DenoisedGuard)
    assert capsys.readouterr().err == ""


def choices(home):
    return {
        "none": (),
        "policy": ("--policy", home / "policy.txt"),
        "answer_prefix": ("--answer-prefix", '{\n "rating": "'),
        "answers": ("--answer-prefix", "It is a", "--answers", "text,picture"),
        "alphabet": ("--alphabet", "printable", "--max-characters", 3),
        "mask": ("--mask", "?"),
        "image_size": ("--image-size", "32x48"),
        "own_size": ("--image-size", "32"),
        "generate": ("--generate", 2, "--undecided", "unsafe"),
        "undecided": ("--generate", 2, "--undecided", "safe"),
        "words": ("--before-text", "User: ", "--after-text", "."),
        "preset": ("--preset", "llama-guard-3-vision"),
        "dtype": ("--dtype", "bfloat16"),
        "denoiser": ("--denoiser", home / "denoiser"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("command", ["certify", "decide", "attack"])
def test_each_option_of_the_guard_makes_another_classifier_in_the_store(run, notes, folders, monkeypatch, command):
    target = () if command == "certify" else ("--d", 1, "--epsilon", 0.1)
    small = {"certify": SMALL, "decide": ("--max-draws", 64, *SMALL[2:]), "attack": (*SMALL, "--fresh", 16)}[command]
    few = Effort(draws=2, probes=4, candidates=4, sweeps=0, steps=1, rounds=1, restarts=1, select=4)
    monkeypatch.setattr("hybrid_rs.attacks.ADAPTIVE", few)
    cases = choices(folders)
    if command != "certify":  # they are given the same guard
        cases = {name: cases[name] for name in ("none", "policy", "preset", "denoiser")}
    for name, options in cases.items():
        code, printed = run(command, notes, "--model", folders / "guard", *target, *small, "--json", *options)
        assert code == 0, printed.err
        assert ("DenoisedGuard" in printed.err) is (name == "denoiser")
    for store in {"certify": ("counts",), "decide": ("decisions",), "attack": ("counts", "attacks")}[command]:
        rows = [json.loads(line) for line in Path(f"{store}.jsonl").read_text().splitlines()]
        assert len({row["classifier"] for row in rows}) == len(rows) == len(cases)


def test_certify_says_which_classifier_its_lines_are_of(run, notes, folders):
    options = choices(folders)["policy"] + choices(folders)["answer_prefix"]
    printed = run("certify", notes, "--model", folders / "guard", *SMALL, "--json", *options)[1]
    line = json.loads(printed.out)
    assert "prompt of" in line["guard"]
    assert len(line["classifier"]) == 64
    assert "NativeGuard(images in their own size" in printed.err


def test_images_keep_their_size_where_the_family_reads_any_and_nothing_else_is_asked(folders):
    """Without an option; the small guard, whose tower reads one size, is the guard that it was."""
    for options, size in (
        ({}, None),
        ({"image_size": "32"}, (32, 32)),
        ({"image_size": "native"}, None),
        ({"denoiser": str(folders / "denoiser")}, (32, 32)),
    ):
        assert Checkpoint(str(folders / "guard"), **options).loaded.image_size == size
    assert Checkpoint(str(folders / "guard")).name == Checkpoint(str(folders / "guard"), image_size="native").name
    small = Checkpoint(str(CHECKPOINT))
    assert (small.loaded.image_size, small.name) == ((32, 32), VisionLanguageGuard.from_pretrained(CHECKPOINT).identity)


def test_a_verdict_may_be_parsed_from_a_generated_answer(run, notes, folders):
    asked = ("certify", notes, "--model", folders / "guard", *SMALL, "--tau", 0.5)
    asked += ("--generate", 3, "--verdict-after", "</think>", "--undecided")
    rows = {}
    for undecided in ("unsafe", "safe"):
        code, printed = run(*asked, undecided, "--json")
        assert code == 0, printed.err
        rows[undecided] = json.loads(printed.out)
    assert "up to 3 tokens, then safe or unsafe after '</think>', else unsafe" in rows["unsafe"]["guard"]
    assert rows["unsafe"]["p"][0] > 0.9 > 0.1 > rows["safe"]["p"][0]  # nothing that it writes holds a verdict
    assert rows["unsafe"]["classifier"] != rows["safe"]["classifier"]


def test_the_kernel_and_its_alphabet_are_chosen_and_said(run, notes, folders):
    """V is the size of the alphabet; the absorbing kernel needs a mask, and then it does not depend on V."""
    large = ("--model", folders / "guard", *SMALL, "--limit", 1)
    code, printed = run("certify", notes, *large, "--kernel", "absorbing")
    assert code == 1
    assert "kernel = absorbing: this guard has no mask token; choose one with --mask" in printed.err
    rows = {}
    for options in ((), ("--alphabet", "printable"), ("--kernel", "absorbing", "--mask", "?")):
        code, printed = run("certify", notes, *large, *options, "--json")
        assert code == 0, printed.err
        rows[options[-1:]] = row = json.loads(printed.out)
        front = hrs.frontier(row["p"][0], kernel_of(row), sigma=row["sigma"], tau=row["tau"], d_max=1)
        assert row["radii"] == plain(front.radii.tolist())
    sizes = {name: row["vocab_size"] for name, row in rows.items()}
    assert sizes["printable",] < sizes["?",] == sizes[()] - 1
    assert [row["kernel"] for row in rows.values()] == ["UniformKernel", "UniformKernel", "AbsorbingKernel"]
    code, printed = run("certify", notes, *large, "--kernel", "absorbing", "--mask", "?", "--threat", "l0")
    said = f"Noise writes the mask, '?'. An edit writes one of the alphabet's {sizes['?',]} tokens; where edits are"
    assert (code, said in printed.out, "absorbing kernel" in printed.out) == (0, True, True)


def kernel_of(row):
    if row["kernel"] == "AbsorbingKernel":
        return hrs.AbsorbingKernel(row["beta"])
    return hrs.UniformKernel(row["beta"], row["vocab_size"])


def test_tokens_outside_of_the_alphabet_are_counted(run, notes, folders):
    asked = ("certify", notes, "--model", folders / "guard", *SMALL, "--max-characters", 1)
    code, printed = run(*asked, "--threat", "l0")
    line = json.loads((notes / "notes.jsonl").read_text().splitlines()[0])
    guard = VisionLanguageGuard.from_pretrained(folders / "guard", max_characters=1)
    ids = guard.encode(line["text"])
    outside = int(np.sum(~np.isin(ids, guard.alphabet)))
    assert 0 < outside < len(ids)
    said = f"{outside} of the {len(ids)} tokens of the texts are outside the alphabet, and were read as pads."
    assert (code, said in printed.out) == (0, True)
    code, printed = run(*asked)  # a suffix leaves the text alone
    assert (code, "outside the alphabet, and" in printed.out) == (0, False)


def test_images_of_several_sizes_keep_them_and_the_table_says_how_to_read_it(run, notes, folders, tmp_path):
    """A radius is in the pixels of its own image; per pixel value it is that over the root of their number."""
    sizes = [(24, 60), (40, 20), (200, 100)]
    for number, (height, width) in enumerate(sizes):
        with Image.open(notes / f"{number % 2}.png") as image:
            image.resize((width, height)).save(tmp_path / f"{number}.png")
    lines = [json.dumps({"image": f"{i}.png", "text": "is it safe", "label": 1}) for i in range(3)]
    (tmp_path / "mixed.jsonl").write_text("\n".join(lines))
    asked = ("certify", "mixed.jsonl", "--model", folders / "guard", "--image-size", "native", "--max-side", 60)
    asked += ("--n", 64, "--max-edits", 1, "--tau", 0, "--no-progress")
    code, printed = run(*asked, "--json")
    assert code == 0, printed.err
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["image"] for row in rows] == [[3, 24, 60], [3, 40, 20], [3, 60, 30]]
    assert len({row["classifier"] for row in rows}) == 1
    guard = VisionLanguageGuard.from_pretrained(folders / "guard", image_size=(24, 60))
    with Image.open(tmp_path / "0.png") as image:
        pixels = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1) / np.float32(255)
    example = hrs.Example(rows[0]["id"], guard.encode("is it safe"), pixels)
    kernel, threat = hrs.UniformKernel(0.25, guard.alphabet.size), hrs.SuffixThreat(1)
    smoothed = hrs.SmoothedGuard(guard, kernel, 0.5, threat, rows[0].get("noise", "float32"))
    front = smoothed.certify(example, 64, tau=0.0)
    assert rows[0]["p"][0] == front.p[0]
    code, printed = run(*asked, "--tau", 1e-9)
    assert code == 0
    assert (
        "The images have 3 sizes, from 40 x 20 to 60 x 30. An image distance is l2 over all pixel values" in printed.out
    )
    assert "steps per value" in printed.out
    assert "24 x 60  unsafe" in printed.out
    code, printed = run("decide", *asked[1:8], "--d", 0, "--epsilon", 0.5, "--no-progress", "--max-draws", 64)
    assert (code, "epsilon = 0.5 is a root mean square change of 2.6 steps" in printed.out) == (0, True)
    code, printed = run(*asked, "--fit", "pad")
    assert (code, "fit = 'pad': an image that keeps its shape needs no fit" in printed.err) == (1, True)


def test_the_image_alone_is_certified_where_no_text_is_read(run, notes, folders):
    policy = ("--policy", folders / "policy.txt", "--preset", "llavaguard", "--answers", "safe,unsafe")
    asked = ("certify", notes, "--model", folders / "guard", *policy, "--answer-prefix", "It is", *SMALL[:2])
    code, printed = run(*asked, "--max-edits", 0, "--no-progress", "--limit", 1, "--json")
    assert code == 0, printed.err
    assert len(json.loads(printed.out)["radii"]) == 1
    code, printed = run(*asked, "--max-edits", 0, "--no-progress", "--limit", 1)
    assert code == 0
    assert "threat: the image alone" in printed.out
    assert "No token is noised, and none may be edited" in printed.out
    same = printed.out
    code, printed = run(*asked, "--no-progress", "--limit", 1)
    assert (code, printed.out) == (0, same)  # with no text to edit, no edits are the default
    code, printed = run(*asked, "--threat", "l0", "--no-progress", "--limit", 1)
    assert (code, printed.out) == (0, same)  # without edits, all places are the same


def test_the_presets_of_the_command_are_those_of_the_package():
    offered, _ = get_args(get_args(PresetOption)[0])  # a Literal, or None
    assert {*get_args(offered)} == {*PRESETS}


def test_a_worker_makes_the_same_guard_and_no_weights_travel(folders, monkeypatch, tmp_path):
    policy = tmp_path / "policy.txt"
    policy.write_text("safe or unsafe?")
    asked_with = {"policy": policy, "answer_prefix": "Answer:", "image_size": "48", "batch_size": 8}
    denoiser = {"denoiser": str(folders / "denoiser"), "sigma": 0.5}
    checkpoint = Checkpoint(str(folders / "guard"), margin=1.0, **asked_with, **denoiser)
    here = checkpoint.loaded
    policy.unlink()  # it is not on the worker's machine
    travels = pickle.dumps(checkpoint.load)
    assert len(travels) < 2000
    there = pickle.loads(travels)()
    assert isinstance(there, DenoisedGuard)
    assert (there.identity, there.margin, there.image_size) == (here.identity, 1.0, (48, 48))
    np.testing.assert_array_equal(there.guard.before, here.guard.before)
    assert here.identity != here.guard.identity


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("certify", ("--tau", 3), "tau = 3.0: give a threshold in [0, 1]"),
        ("certify", ("--tau", "nan"), "tau = nan"),
        ("certify", ("--alpha", 0), "alpha = 0.0: give a risk in (0, 1)"),
        ("certify", ("--alpha", 1), "alpha = 1.0"),
        ("certify", ("--beta", 2), "beta = 2.0"),
        ("certify", ("--sigma", -1), "sigma = -1.0"),
        ("certify", ("--margin", "inf"), "margin = inf"),
        ("certify", ("--policy", "none.txt"), "policy = 'none.txt': no such file"),
        (
            "certify",
            ("--image-size", "32 x 48"),
            "image_size = '32 x 48': give a side such as 448",
        ),
        (
            "certify",
            ("--image-size", "native", "--denoiser", "x"),
            "image_size = native: a denoiser is made for images",
        ),
        ("certify", ("--preset", "shieldgemma"), "policy = None: preset shieldgemma needs a policy in a file"),
        ("certify", ("--image-alone", "--after-text", "."), "this guard reads no text; leave out the words around it"),
        (
            "certify",
            ("--image-alone", "--max-edits", 1),
            "max_edits = 1: this guard judges the image alone, so no text",
        ),
        (
            "certify",
            ("--image-alone", "--threat", "edit-distance"),
            "threat = edit-distance: this guard judges the image",
        ),
        ("decide", ("--d", 1, "--epsilon", 1, "--image-alone"), "d = 1: give at most --max-edits 0"),
        ("certify", ("--generate", 8), "undecided = None: give the verdict for answers that have none"),
        ("certify", ("--undecided", "safe"), "undecided = safe: it is for answers that are generated: give --generate"),
        ("certify", ("--verdict-after", "x"), "verdict_after = x: it is for answers that are generated"),
        (
            "certify",
            ("--generate", 8, "--undecided", "safe", "--margin", 1),
            "margin = 1.0: a generated verdict has no logits",
        ),
        ("certify", ("--answers", "safe"), "give two words, the one that means safe"),
        ("certify", ("--image-size", "0x48"), "image_size = '0x48': give a side"),
        ("certify", ("--image-size", "9000"), "image_size = '9000': give a side"),
        ("certify", ("--engine", "local", "--workers", 2), "engine = 'local:2'"),
        ("certify", ("--workers", 10_000), "workers = 10000: this machine has"),
        ("decide", ("--d", 9, "--epsilon", 1), "d = 9: give at most --max-edits 8"),
        ("decide", ("--d", 1, "--epsilon", "inf"), "epsilon = inf"),
        ("attack", ("--d", 1, "--epsilon", 1, "--tau", 3), "tau = 3.0"),
        ("attack", ("--d", 1, "--epsilon", 1, "--alpha", 2), "alpha = 2.0"),
    ],
)
def test_a_parameter_out_of_range_is_refused_before_the_guard_is_loaded(
    run, notes, monkeypatch, command, options, message
):
    monkeypatch.setattr(loading, "load_guard", lambda *arguments, **options: pytest.fail("loaded"))
    code, printed = run(command, notes, *BAY, *options)
    assert (code, printed.err.startswith("error: ")) == (1, True)
    assert message in printed.err


def write(folder, *texts):
    for image in ("0.png", "1.png"):
        Path(image).write_bytes((folder / image).read_bytes())
    lines = [json.dumps({"image": f"{i}.png", "text": text, "label": 1}) for i, text in enumerate(texts)]
    Path("some.jsonl").write_text("".join(line + "\n" for line in lines))


def test_all_texts_are_looked_at_before_the_first_draw(run, notes, monkeypatch):
    """The second text holds what no guard reads."""
    write(notes, "bring the acid", "see <image> here")
    with monkeypatch.context() as patched:
        patched.setattr(Unit, "draw", lambda *arguments, **options: pytest.fail("drawn"))
        code, printed = run("certify", "some.jsonl", *BAY, *SMALL[:-2])
        assert code == 1
        assert "error: entry some/2: text = ['<image>']: remove" in printed.err
        assert "give --on-problem skip" in printed.err
    code, printed = run("certify", "some.jsonl", *BAY, *SMALL[:-2], "--on-problem", "skip")
    assert code == 0
    assert "1 entries were left out:\n  some/2: text = ['<image>']" in printed.out
    write(notes, "see <image> here")
    code, printed = run("certify", "some.jsonl", *BAY, *SMALL, "--on-problem", "skip")
    assert code == 1
    assert "data = 'some.jsonl': none of its entries can be used\n  some/1: text = " in printed.err


@pytest.mark.parametrize("how", ["refuse", "skip"])
def test_a_data_set_without_an_entry_is_an_error_that_names_it(run, how):
    Path("empty.jsonl").touch()
    code, printed = run("certify", "empty.jsonl", *BAY, *SMALL, "--on-problem", how)
    assert code == 1
    assert "empty.jsonl: it has no entries" in printed.err
    assert "Nothing to certify" not in printed.out


def test_weights_that_are_not_safe_are_called_by_the_option(run, notes, tmp_path):
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "config.json").write_text('{"model_type": "llava"}')
    code, printed = run("certify", notes, "--model", "guard", *SMALL)
    assert code == 1
    assert printed.err.splitlines()[-1].startswith("error: model = guard: give the folder of a Hugging Face checkpoint")
    code, printed = run("certify", notes, *BAY, *SMALL, "--denoiser", "none")
    assert code == 1
    assert "error: denoiser = 'none': there is no such folder" in printed.err


def test_fewer_bits_and_several_devices_name_what_is_missing_in_one_line(run, notes, monkeypatch):
    for package in ("bitsandbytes", "accelerate"):
        monkeypatch.setitem(sys.modules, package, None)
    code, printed = run("certify", notes, *BAY, *SMALL, "--bits", "8")
    assert (code, 'is not installed: pip install "hybrid_rs[quantised]"' in printed.err) == (1, True)
    code, printed = run("certify", notes, *BAY, *SMALL, "--device", "auto")
    assert (code, 'accelerate is not installed: pip install "hybrid_rs[spread]"' in printed.err) == (1, True)
    code, printed = run("certify", notes, *BAY, *SMALL, "--device", "auto", "--denoiser", "none")
    assert (code, "device = auto: a denoiser is on one device: give" in printed.err) == (1, True)


def test_a_ctrl_c_while_loading_is_one_line_and_status_130(run, notes, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(VisionLanguageGuard, "from_pretrained", interrupted)
    code, printed = run("certify", notes, *BAY, *SMALL)
    assert (code, printed.err.splitlines()[-1]) == (130, "interrupted: nothing was finished")


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(run, notes, monkeypatch):
    def broken(*arguments, **options):
        raise KeyError("shape")

    monkeypatch.setattr(VisionLanguageGuard, "from_pretrained", broken)
    code, printed = run("certify", notes, *BAY, *SMALL)
    last = printed.err.splitlines()[-1]
    assert code == 1
    assert last.startswith("error: KeyError: 'shape'; unexpected error: set HYBRID_RS_DEBUG=1")
    monkeypatch.setenv("HYBRID_RS_DEBUG", "1")
    monkeypatch.setattr("sys.argv", ["hybrid-rs", "certify", str(notes), "--model", str(CHECKPOINT)])
    with pytest.raises(KeyError, match="shape"):
        cli.main()
