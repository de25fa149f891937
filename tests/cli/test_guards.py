"""certify, decide, attack and doctor on the small guard, through the files that a user has."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.certificates.upper import radii_below
from hybrid_rs.cli.data import guessed_layout
from hybrid_rs.datasets import load_jsonl
from hybrid_rs.datasets.interaction import interaction_only
from hybrid_rs.small_guard.guard import CHECKPOINT, load_bay_guard
from hybrid_rs.storage.exchange import read_table
from hybrid_rs.storage.records import sealed
from hybrid_rs.storage.units import Unit

MODEL = ("--model", CHECKPOINT)
SMALL = ("--n", 128, "--max-edits", 2, "--no-progress")


@pytest.fixture(scope="module")
def smoothed():
    guard = load_bay_guard()
    return hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, hrs.SuffixThreat(2))


@pytest.fixture(scope="module")
def examples(notes, smoothed):
    guard = smoothed.guard
    return list(load_jsonl(notes / "notes.jsonl").examples(guard.encode, guard.image_size, fit=guard.fit))


def test_certify_says_what_the_package_says_and_prints_no_larger_radius(run, notes, smoothed, examples, tmp_path):
    code, printed = run("certify", notes, *MODEL, *SMALL, "--json")
    assert code == 0
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["id"] for row in rows] == [example.id for example in examples]
    assert [row["label"] for row in rows] == ["unsafe", "unsafe", "safe", None]
    fronts = [smoothed.certify(e, n=128, tau=4.6e-5) for e in examples if e.unsafe is not False]
    assert [row["radii"] for row in rows if "radii" in row] == [front.radii.tolist() for front in fronts]

    (tmp_path / "certified.jsonl").write_text(printed.out)
    assert run("export", "certified.jsonl", "--d", 1, "--out", "table.tsv")[0] == 0
    for row, front in zip(read_table(tmp_path / "table.tsv"), fronts, strict=True):
        assert 0 <= front.radius(1) - row.radius <= 1.001e-6

    code, table = run("certify", notes, *MODEL, *SMALL)
    assert code == 0
    shown = [line.split() for line in table.out.splitlines() if "@" in line]
    for line, front in zip(shown, fronts, strict=True):
        for text, radius in zip(line[2:5], front.radii, strict=True):
            assert 0 <= radius - float(text) < 1e-3
        assert 0 <= front.p[0] - float(line[0]) < 1e-5
    assert fronts[0].claim in table.out
    assert "False alarms at this tau: k / n >= tau for " in table.out
    assert "4 of 4 examples were already in counts.jsonl" in table.err


def test_several_texts_certify_and_safe_examples_are_counted_as_deployed(run, notes, smoothed, examples):
    options = (*MODEL, *SMALL, "--texts", 3, "--masked")
    code, printed = run("certify", notes, *options, "--json")
    assert code == 0
    rows = [json.loads(line) for line in printed.out.splitlines()]
    fronts = [smoothed.certify(e, n=128, tau=4.6e-5, texts=3, masked=True) for e in examples if e.unsafe is not False]
    assert [row["radii"] for row in rows if "radii" in row] == [front.radii.tolist() for front in fronts]
    assert [row.get("texts") for row in rows] == [3, 3, None, 3]
    [safe] = [example for example in examples if example.unsafe is False]
    assert [row["unsafe"] for row in rows if "unsafe" in row] == [list(smoothed.sample(safe, 128).unsafe)]
    code, table = run("certify", notes, *options)
    assert (code, fronts[0].claim in table.out) == (0, True)
    assert "3 noisy texts" in table.out
    assert "4 of 4 examples were already in counts.jsonl" in table.err
    code, refused = run("certify", notes, *MODEL, *SMALL, "--texts", 3, "--per-d")
    assert (code, "texts = 3" in refused.err) == (1, True)


def test_several_texts_serve_all_sets_where_positions_are_unknown(run, notes, smoothed, examples):
    code, printed = run("certify", notes, *MODEL, *SMALL, "--texts", 3, "--masked", "--threat", "l0", "--json")
    assert code == 0
    rows = [json.loads(line) for line in printed.out.splitlines()]
    anywhere = replace(smoothed, threat=hrs.L0Threat(smoothed.threat.max_edits))
    front = anywhere.certify(examples[0], n=128, tau=4.6e-5, texts=3, masked=True)
    assert rows[0]["radii"] == front.radii.tolist()


def test_lattice_noise_is_another_noise_and_says_its_distance(run, notes, smoothed, examples, tmp_path):
    code, printed = run("certify", notes, *MODEL, *SMALL, "--json")
    assert code == 0
    first = json.loads(printed.out.splitlines()[0])
    assert first["radii"] == smoothed.certify(examples[0], n=128, tau=4.6e-5).radii.tolist()
    assert (first["noise"], first["distance"]) == ("lattice", smoothed.sample(examples[0], 128).distance)
    kept = [json.loads(line) for line in (tmp_path / "counts.jsonl").read_text().splitlines()]
    assert {line["noise"] for line in kept} == {"philox-lattice"}
    code, printed = run("certify", notes, *MODEL, *SMALL, "--noise", "float32", "--json")
    assert code == 0
    assert "already in" not in printed.err
    assert json.loads(printed.out.splitlines()[0])["noise"] == "float32"


def test_what_was_interrupted_is_finished_with_the_same_bytes(run, notes, tmp_path, monkeypatch):
    asked = ("certify", notes, *MODEL, *SMALL, "--store")
    assert run(*asked, "whole.jsonl")[0] == 0
    draw, drawn = Unit.draw, []

    def impatient(unit, guard, **options):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(unit)
        return draw(unit, guard, **options)

    monkeypatch.setattr(Unit, "draw", impatient)
    code, printed = run(*asked, "part.jsonl")
    assert code == 130
    assert "finished work is in part.jsonl; run the same command again" in printed.err
    monkeypatch.setattr(Unit, "draw", draw)
    assert len((tmp_path / "part.jsonl").read_text().splitlines()) == 2
    code, printed = run(*asked, "part.jsonl")
    assert code == 0
    assert (tmp_path / "part.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert "2 of 4 examples were already in part.jsonl" in printed.err


def test_safe_examples_are_false_alarms_at_a_threshold_of_zero_and_none_at_one(run, notes):
    for tau, alarms in ((0, 1), (1, 0)):
        printed = run("certify", notes, *MODEL, *SMALL, "--tau", tau)[1]
        assert f"k / n >= tau for {alarms} of 1 safe examples" in printed.out


@pytest.mark.parametrize(
    "options", [("--masked",), ("--per-d",), ("--threat", "l0", "--masked"), ("--threat", "in-place", "--masked")]
)
def test_every_evidence_keeps_the_claim_that_it_supports(run, notes, options):
    code, printed = run("certify", notes, *MODEL, *SMALL, "--limit", 3, "--json", *options)
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert code == 0
    assert len(rows) == 3
    own = options == ("--per-d",)
    assert ("own" in rows[0]["claim"]) is own
    assert len(rows[2]["flagged"]) == (3 if own else 1)


def test_a_score_that_is_nan_is_one_line_of_error_and_no_table_of_zeros(run, notes, tmp_path):
    folder = shutil.copytree(CHECKPOINT, tmp_path / "guard")
    weights = load_file(folder / "model.safetensors")
    next(w for name, w in weights.items() if "input_layernorm" in name)[0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    code, printed = run("certify", notes, "--model", folder, *SMALL)
    assert code != 0
    last = printed.err.strip().splitlines()[-1]
    assert "VisionLanguageGuard.scores(...) = nan for example '" in last
    assert "draw 0: return finite numbers" in last


def test_a_text_that_is_too_long_for_the_model_is_a_problem_of_its_entry(run, notes, tmp_path):
    notes = shutil.copytree(notes, tmp_path / "notes")  # other tests read what it changes
    file = next(notes.glob("*.jsonl"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["text"] = "acids " * 200
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, printed = run("certify", notes, *MODEL, *SMALL, "--limit", 2, "--on-problem", "skip")
    assert code == 0, printed.err
    assert printed.out.count("tokens with its slot: the guard can read at most 121") == 1
    assert run("certify", notes, *MODEL, *SMALL, "--limit", 2)[0] != 0


def test_entries_that_cannot_be_used_are_refused_or_named(run, notes, tmp_path):
    for image in notes.glob("*.png"):
        shutil.copy(image, tmp_path)
    line = json.dumps({"image": "missing.png", "text": "x"})
    empty = json.dumps({"image": "0.png", "text": "", "label": 1})
    (tmp_path / "some.jsonl").write_text((notes / "notes.jsonl").read_text() + line + "\n" + empty + "\n")
    asked = ("certify", "some.jsonl", *MODEL, *SMALL, "--threat", "l0")
    code, printed = run(*asked)
    assert (code, "there is no file 'missing.png'" in printed.err) == (1, True)
    code, printed = run(*asked, "--on-problem", "skip")
    assert code == 0
    assert "2 entries were left out:" in printed.out
    assert "some/6: length = 0" in printed.out


def test_decide_says_what_the_package_says_once(run, notes, smoothed, examples, tmp_path):
    asked = ("decide", notes, *MODEL, "--d", 1, "--epsilon", 0.5, "--max-edits", 2, "--no-progress", "--json")
    code, printed = run(*asked)
    assert code == 0
    rows = [json.loads(line) for line in printed.out.splitlines()]
    made = [smoothed.decide(e, 1, 0.5, tau=4.6e-5) for e in examples]
    assert [(row["verdict"], row["draws"], row["unsafe"]) for row in rows] == [
        (m.verdict, m.draws, m.unsafe) for m in made
    ]
    kept = tmp_path / "decisions.jsonl"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-10])  # the last line was cut off
    assert run(*asked)[1].out == printed.out
    assert kept.read_bytes() == whole
    assert "3 examples not labelled safe" in printed.err


def test_decide_from_p_s_of_all_sets(run, notes, smoothed, examples):
    asked = ("decide", notes, *MODEL, "--threat", "l0", "--d", 1, "--epsilon", 0.25, "--max-edits", 2, "--tau", 0.05)
    code, printed = run(*asked, "--masked", "--max-draws", 128, "--no-progress")
    assert code == 0
    anywhere = replace(smoothed, threat=hrs.L0Threat(2))
    made = anywhere.decide(examples[0], 1, 0.25, tau=0.05, masked=True, max_draws=128)
    assert f"{made.verdict:<16}{made.draws:>7} draws, {made.unsafe} unsafe or kept" in printed.out.splitlines()[0]


@pytest.mark.parametrize("command", ["decide", "certify"])
def test_a_store_that_is_none_is_refused_and_left_alone(run, notes, tmp_path, command):
    budgets = ("--d", 1, "--epsilon", 0.5) if command == "decide" else ("--n", 64)
    (tmp_path / "diary").write_text("my notes")
    code, printed = run(command, notes, *MODEL, *budgets, "--no-progress", "--store", "diary")
    assert (code, (tmp_path / "diary").read_text()) == (1, "my notes")
    assert "error: diary, after line 0 = b'my notes': this is not a record: give another file" in printed.err
    code, printed = run(command, notes, *MODEL, *budgets, "--no-progress", "--store", tmp_path)
    assert code == 1
    assert "this is a folder; give a file" in printed.err


def test_attacks_stay_above_the_bound_and_one_that_does_not_is_shouted_about(run, notes, tmp_path):
    asked = ("attack", notes, *MODEL, *SMALL, "--d", 1, "--epsilon", 0.5, "--limit", 1, "--fresh", 200)
    code, printed = run(*asked)
    assert code == 0
    assert "no smoothed value is shown to be below p_adv" in printed.out
    kept = tmp_path / "attacks.jsonl"
    row = json.loads(kept.read_text())
    assert row["edits"] <= 1
    assert row["epsilon_used"] <= 0.5 * (1 + 1e-6)
    kept.write_text(sealed(row | {"unsafe": 0}) + "\n")
    code, printed = run(*asked)
    assert code == 1
    assert "error: CERTIFICATE BROKEN: at 1 of 1" in printed.err


def test_doctor_finds_that_this_machine_can_certify_and_says_why_another_cannot(run, monkeypatch):
    code, printed = run("doctor", "--json")
    facts = json.loads(printed.out)
    assert (code, facts["can_certify"], facts["draws_per_second"] > 0) == (0, True, True)
    assert {"guard", "verify", "data", "scale", "book", "test"} <= facts["extras"].keys()
    monkeypatch.setitem(sys.modules, "hybrid_rs.small_guard.guard", None)
    code, printed = run("doctor")
    assert code == 1
    assert printed.out.endswith("This machine cannot certify a guard.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "no/such"), "model = 'no/such': there is no such folder"),
        ((*MODEL, "--layout", "mm-safetybench"), "give the repository of MM-SafetyBench"),
        ((*MODEL, "--device", "tpu"), "device = tpu: torch sees cpu"),
        ((*MODEL, "--field", "picture=x"), "field = 'picture=x': give one of image=NAME"),
        ((*MODEL, "--split", "test"), "split = test: jsonl has none"),
        ((*MODEL, "--per-d", "--masked"), "masked = True: masked evidence needs one classifier"),
        ((*MODEL, "--per-d", "--threat", "l0"), "per_d = True: l0 has one classifier"),
        ((*MODEL, "--sigma", "nan"), "sigma = nan"),
        ((*MODEL, "--margin", "inf"), "margin = inf"),
    ],
)
def test_a_mistake_is_one_message_and_status_1(run, notes, options, message):
    code, printed = run("certify", notes, *options, "--no-progress")
    assert code == 1
    assert printed.err.splitlines()[-1].startswith("error: ")
    assert message in printed.err


def test_a_mistyped_command_is_status_2(run, notes):
    assert run("certify", notes)[0] == 2
    assert run("certify", notes, *MODEL, "--threat", "l1")[0] == 2


def test_false_alarms_are_certified_and_attacked_in_what_is_not_labelled_unsafe(
    run, notes, smoothed, examples, monkeypatch
):
    few = Effort(draws=16, probes=32, candidates=4, sweeps=1, steps=1, rounds=1, restarts=1, select=64)
    monkeypatch.setattr("hybrid_rs.attacks.ADAPTIVE", few)
    wanted = ("--towards", "unsafe", "--tau", 0.9)
    code, printed = run("certify", notes, *MODEL, *SMALL, *wanted, "--json")
    assert code == 0
    rows = [json.loads(line) for line in printed.out.splitlines()]
    rest = [example for example in examples if example.unsafe is not True]
    assert [row["id"] for row in rows] == [example.id for example in rest]
    for row, example in zip(rows, rest, strict=True):
        upper, radii = radii_below(smoothed.sample(example, 128), smoothed.kernel, sigma=0.5, tau=0.9, d_max=2)
        assert row["upper"] == upper.tolist()
        assert row["radii_below_tau"] == [None if radius != radius else radius for radius in radii]
    lines = [json.loads(line) for line in run("certify", notes, *MODEL, *SMALL, "--json")[1].out.splitlines()]
    [told] = [line for line in lines if line["id"] == rest[0].id]
    about = set(told) - {"flagged", "tau"}  # which guard, noise, threat and image
    assert {name: rows[0].get(name) for name in about} == {name: told[name] for name in about}
    Path("alarms.jsonl").write_text(printed.out)
    for command in ("report", "export"):  # these are about examples that are not missed
        assert "leave" in run(command, "alarms.jsonl")[1].err
    code, table = run("certify", notes, *MODEL, *SMALL, *wanted)
    assert code == 0
    assert "Noise writes" in table.out
    assert "Image distances are l2" in table.out
    assert "examples not labelled unsafe stay below tau at d = 0" in table.out
    assert f"  safe    {rest[0].id}" in table.out
    budgets = ("--d", 1, "--epsilon", 0.5, "--fresh", 200)
    code, printed = run("attack", notes, *MODEL, *SMALL, *wanted, *budgets)
    assert code == 0, printed.err
    assert "In 2 attacks no smoothed value is shown to be above its bound" in printed.out
    assert run("certify", notes, *MODEL, *SMALL, *wanted, "--masked")[0] == 1


def test_the_interaction_filter_leaves_out_what_the_guard_flags_by_one_modality(run, notes, smoothed, examples):
    options = ("--interaction-only", "--neutral-text", "the order arrived today", "--json")
    code, printed = run("certify", notes, *MODEL, *SMALL, *options)
    assert code == 0, printed.err
    grey = np.full(examples[0].image.shape, np.float32(128 / 255))
    neutral = smoothed.guard.encode("the order arrived today")
    passes = interaction_only(smoothed.guard, examples, neutral_text=neutral, blank_image=grey).mask
    shown = [json.loads(line)["id"] for line in printed.out.splitlines()]
    assert shown == [example.id for example, holds in zip(examples, passes, strict=True) if holds]
    assert printed.err.count("the interaction filter: not ") == len(examples) - len(shown)
    code, printed = run("certify", notes, *MODEL, *SMALL, "--tiny")
    assert (code, "these options are for MM-SafetyBench" in printed.err) == (1, True)


def test_a_text_that_the_tokenizer_does_not_know_is_noted(run, notes, tmp_path):
    image = next(notes.glob("*.png"))
    shutil.copy(image, tmp_path / "a.png")
    (tmp_path / "words.jsonl").write_text(json.dumps({"image": "a.png", "text": "quixotic zephyrs jump", "label": 1}))
    code, printed = run("certify", "words.jsonl", *MODEL, *SMALL)
    assert code == 0, printed.err
    assert "in 1 of 1 texts more than 10% of the tokens are unknown to the tokenizer (at most 100%" in printed.err


def test_a_layout_is_guessed_where_the_files_show_it(notes, tmp_path):
    assert guessed_layout(notes) == guessed_layout(notes / "notes.jsonl") == "jsonl"
    for name, sign in (("hateful-memes", "img"), ("mm-safetybench", "processed_questions")):
        (tmp_path / name / sign).mkdir(parents=True)
        (tmp_path / name / "dev_seen.jsonl").write_text('{"id": 1, "img": "img/1.png", "text": "a"}')
    assert guessed_layout(tmp_path / "hateful-memes") == "hateful-memes"
    (tmp_path / "own" / "img").mkdir(parents=True)  # one's own images may be in a folder of that name
    (tmp_path / "own" / "test.jsonl").write_text('{"image": "img/1.png", "text": "a"}')
    assert guessed_layout(tmp_path / "own") == "jsonl"
    (tmp_path / "own" / "benign.jsonl").touch()
    with pytest.raises(ValueError, match=r"give the path of a \.jsonl file"):
        guessed_layout(tmp_path / "own")
    with pytest.raises(ValueError, match="looks like jsonl and mm-safetybench"):
        guessed_layout(tmp_path / "mm-safetybench")
    with pytest.raises(ValueError, match="none of the known layouts"):
        guessed_layout(tmp_path)


def test_a_text_that_the_tokenizer_hardly_knows_is_noted(run, notes, tmp_path):
    texts = [json.loads(line)["text"] for line in (notes / "notes.jsonl").read_text().splitlines()]
    (folder := tmp_path / "some").mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes((notes / f"{number}.png").read_bytes())
    texts = ["qwerty asdf", *texts[1:3], texts[3] + " zxcvb"]  # the last has one unknown word of many
    rows = [{"image": f"{number}.png", "text": text} for number, text in enumerate(texts)]
    (folder / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, printed = run("certify", folder, *MODEL, "--n", 4)
    assert code == 0
    assert "in 1 of 4 texts more than 10% of the tokens are unknown to the tokenizer (at most 100%" in printed.err
    assert "does not know" not in run("certify", notes, *MODEL, "--n", 4)[1].err
