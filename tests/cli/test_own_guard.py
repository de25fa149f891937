"""A guard in plain Python serves the commands; what is wrong with one is a line that says so."""

import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.cli.loading import Checkpoint
from hybrid_rs.cli.own_guard import own_guard
from hybrid_rs.cli.showing import plain
from hybrid_rs.datasets import load_jsonl

PAGE = (Path(__file__).resolve().parents[2] / "book" / "command_line.md").read_text()
[MODULE] = re.findall(r"This is `two_models.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
[COMMAND] = re.findall(r"^hybrid-rs (.*two_models:make.*)$", PAGE, re.MULTILINE)
SMALL = ("--n", 64, "--max-edits", 2, "--no-progress")
EASY = ("--n", 64, "--false-alarms", 0.99, "--confidence", 0.9)  # one benign example is enough to calibrate
WHOLE = """
import numpy as np

class Guard:
    alphabet, pad_id, mask_id, image_size, identity = np.arange(128), 44, None, (8, 8), "first"
    def encode(self, text): return [ord(letter) % 128 for letter in text]
    def unsafe(self, token_ids, images): return images.mean(axis=(1, 2, 3)) > 0.4
"""


def save(file, seed, count):
    """Write pairs of a colour and an order: unsafe where red meets open."""
    rng, lines = np.random.default_rng(seed), []
    for number in range(count):
        red, opens = number % 2, number // 2 % 2
        bright, dark = (int(level) for level in (rng.integers(170, 250), rng.integers(20, 90)))
        name, order = f"{file.stem}-{number}.png", "open" if opens else "close"
        Image.new("RGB", (8, 8), (bright, dark, number) if red else (dark, bright, number)).save(file.parent / name)
        lines.append({"image": name, "text": f"{order} the valve", "label": int(red and opens)})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def module(request):
    """A name for a module that no other test has imported."""
    yield (name := f"own_{request.node.name.translate(str.maketrans('[]-', '___'))}")
    for imported in [each for each in sys.modules if each.partition(".")[0] in (name, "two_models")]:
        del sys.modules[imported]


@pytest.fixture
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.usefixtures("module", "path")
def test_the_example_of_the_page_certifies_decides_and_is_attacked(run, tmp_path, monkeypatch):
    few = Effort(draws=2, probes=4, candidates=4, sweeps=0, steps=1, rounds=1, restarts=1, select=4)
    monkeypatch.setattr("hybrid_rs.attacks.ADAPTIVE", few)
    (tmp_path / "two_models.py").write_text(MODULE)
    for name, seed, count in (("train", 0, 60), ("test", 1, 4)):
        save(tmp_path / f"{name}.jsonl", seed, count)
    code, printed = run(*COMMAND.split(), "--json", "--no-progress")
    assert code == 0, printed.err
    guard = own_guard("two_models:make", str(tmp_path))
    assert isinstance(guard, hrs.Guard)
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, 127), 0.5, hrs.SuffixThreat(8))
    rows = [json.loads(line) for line in printed.out.splitlines()]
    examples = list(load_jsonl(tmp_path / "test.jsonl").examples(guard.encode, guard.image_size))
    fronts = [smoothed.certify(e, n=1000, tau=0.05).radii.tolist() for e in examples if e.unsafe]
    assert [row["radii"] for row in rows if "radii" in row] == plain(fronts)
    assert fronts[0][0] > 0
    assert {row["guard"] for row in rows} == {"TwoModels"}
    assert {row["classifier"] for row in rows} == {guard.identity}
    right = [guard.unsafe(e.token_ids[None], e.image[None])[0] == e.unsafe for e in examples]
    assert all(right)
    budgets = ("--guard", "two_models:make", "--d", 1, "--epsilon", 0.1, "--limit", 1, "--no-progress")
    assert run("decide", "test.jsonl", *budgets)[0] == 0
    assert run("attack", "test.jsonl", *budgets, "--n", 64, "--fresh", 64)[0] == 0


@pytest.mark.usefixtures("path")
def test_a_worker_imports_the_guard_itself(tmp_path, monkeypatch, module):
    (tmp_path / f"{module}.py").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    travels = pickle.dumps(Checkpoint(guard=f"{module}:Guard").load)
    monkeypatch.chdir("/")
    assert len(travels) < 2000
    assert pickle.loads(travels)().identity == "first"


@pytest.mark.usefixtures("path")
def test_counts_are_kept_under_the_identity_of_the_guard(run, notes, tmp_path, module):
    for name in ("first", "second"):
        (tmp_path / f"{module}_{name}.py").write_text(WHOLE.replace("first", name))
        code, printed = run("certify", notes, "--guard", f"{module}_{name}:Guard", *SMALL)
        assert code == 0, printed.err
        assert "already in" not in printed.err
    kept = [json.loads(line)["classifier"] for line in (tmp_path / "counts.jsonl").read_text().splitlines()]
    assert kept == ["first"] * 4 + ["second"] * 4


@pytest.mark.usefixtures("path")
def test_a_pipeline_of_scikit_learn_serves_the_commands(run, tmp_path, monkeypatch, module):
    save(tmp_path / "lamps.jsonl", 0, 8)
    (tmp_path / f"{module}.py").write_text("""
from sklearn.linear_model import LogisticRegression
from hybrid_rs.datasets import load_jsonl
from hybrid_rs.guards.pipeline import PipelineGuard

def make():
    entries = load_jsonl("lamps.jsonl").entries
    return PipelineGuard.fit(LogisticRegression(), entries, (8, 8), sigma=0.5, beta=0.25, slot=2)
""")
    monkeypatch.chdir(tmp_path)
    code, printed = run("certify", "lamps.jsonl", "--guard", f"{module}:make", "--tau", 0.05, *SMALL)
    assert code == 0, printed.err
    assert "Of 2 examples not labelled safe" in printed.out
    assert "valve" not in printed.err  # a vocabulary of thousands of words is not printed


@pytest.mark.usefixtures("path")
def test_a_guard_whose_image_size_is_none_sees_images_in_their_own_size(run, tmp_path, module):
    (tmp_path / f"{module}.py").write_text(WHOLE.replace("(8, 8)", "None"))
    save(tmp_path / "few.jsonl", 0, 2)
    Image.new("RGB", (30, 20), "white").save(tmp_path / "few-1.png")
    code, printed = run("certify", "few.jsonl", "--guard", f"{module}:Guard", *SMALL, "--json")
    assert code == 0, printed.err
    assert [json.loads(line)["image"] for line in printed.out.splitlines()] == [[3, 8, 8], [3, 20, 30]]


MISTAKES = {
    "import nothing_of_this_name": "ModuleNotFoundError while M was imported: No module named 'nothing_of_this_name'",
    "1 / 0": "ZeroDivisionError while M was imported: division by zero",
    "": "M has no function or class make",
    "make = 3": "M has no function or class make",
    "def make(path): ...": "TypeError while make was called without arguments: make() missing 1 required",
    "def make(): return 3": "the int that it makes lacks alphabet, pad_id, mask_id, unsafe, encode, image_size",
    f"{WHOLE}\ndef make():\n    del Guard.identity\n    return Guard()": "the Guard that it makes lacks identity",
    f"{WHOLE}make = Guard\nGuard.identity = ''": "with identity '': Guard.identity must be a text that changes",
    f"{WHOLE}make = Guard\nGuard.image_size = 8": "Guard.image_size = 8: give two whole numbers, (height, width)",
    f"{WHOLE}make = Guard\nGuard.encode = None": "Guard.encode must be a function",
    f"{WHOLE}make = Guard\nGuard.pad_id = 200": "Guard.pad_id = 200: choose it from alphabet",
    f"{WHOLE}make = Guard\nGuard.alphabet = [1, 2]": "Guard.alphabet = [1, 2]: give a NumPy array of whole numbers",
    f"{WHOLE}make = Guard\nGuard.alphabet = np.ones((3, 3), int)": "Guard.alphabet = an array of int64, shape (3, 3)",
    f"{WHOLE}make = Guard\nGuard.mask_id = 'x'": "Guard.mask_id = 'x': give a whole number, or None",
    f"{WHOLE}make = Guard\nGuard.unsafe = None": "Guard.unsafe = None: give a method unsafe(token_ids, images)",
    f"{WHOLE}make = Guard\nGuard.identity = property(lambda self: {{}}['x'])": "KeyError while the members of Guard",
    f"{WHOLE}make = Guard\nimport sys\nsys.exit(0)": "SystemExit while M was imported: sys.exit(0) (M.py, line 10)",
    "import sys\ndef make(): sys.exit()": "while make was called without arguments: sys.exit(None) (M.py, line 2)",
    f"{WHOLE}make = Guard\nGuard.__repr__ = lambda self: {{}}['x']": "Guard.__repr__(...) = no answer, but KeyError",
    "class Stop(BaseException): ...\nraise Stop": "Stop while M was imported: it gives no reason (M.py, line 2)",
    f"{WHOLE}make = Guard\nGuard.encode = lambda self, text: ['a']": "guard.encode(text) = an array of <U1: give",
}


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_a_mistake_in_the_module_is_one_line_that_names_it(run, notes, tmp_path, module, number):
    source, message = list(MISTAKES.items())[number]
    (tmp_path / f"{module}.py").write_text(source + "\n")
    code, printed = run("certify", notes, "--guard", f"{module}:make", *SMALL)
    last = printed.err.strip().splitlines()[-1]
    assert (code, last.startswith("error: ")) == (1, True)
    assert f"guard = '{module}:make'" in last or "guard.encode(text)" in message
    assert re.sub(r"\bM\b", module, message) in last


FAILING = {
    "import sys; sys.exit(3)": "no answer, but SystemExit: sys.exit(3) for example 'notes/1@",
    "import sys; sys.exit(0)": "no answer, but SystemExit: sys.exit(0) for example 'notes/1@",
    "return {}[len(images)]": "no answer, but KeyError: 64 for example 'notes/1@",
    "return images.mean(axis=9)": "no answer, but AxisError: axis 9 is out of bounds",
    "raise RuntimeError('CUDA died')": "no answer, but RuntimeError: CUDA died for example 'notes/1@",
    "return images.mean(axis=(1, 2, 3))": "for example 'notes/1@",
}


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("number", range(len(FAILING)))
@pytest.mark.parametrize("threat", ["suffix", "edit-distance"])
def test_a_guard_that_fails_is_one_error_that_names_it_the_example_and_the_line(
    run, notes, tmp_path, module, number, threat
):
    body, message = list(FAILING.items())[number]
    (tmp_path / f"{module}.py").write_text(f"{WHOLE.rsplit('return', 1)[0]}{body}\n")
    code, printed = run("certify", notes, "--guard", f"{module}:Guard", "--threat", threat, *SMALL)
    last = printed.err.strip().splitlines()[-1]
    assert code == 1
    assert last.startswith(f"error: guard = '{module}:Guard': Guard.unsafe(...) = ")
    assert threat == "edit-distance" or message in last
    assert "for example 'notes/1@" in last
    assert ("no answer" not in message) or last.endswith(f"correct the guard's own code ({module}.py, line 7)")


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("command", ["show", "decide", "attack", "calibrate"])
def test_every_command_names_the_guard_that_failed(run, notes, tmp_path, module, command):
    (tmp_path / f"{module}.py").write_text(f"{WHOLE.rsplit('return', 1)[0]}raise SystemExit(0)\n")
    more = {"show": (), "calibrate": EASY, "decide": ("--max-draws", 64), "attack": ("--n", 64)}[command]
    budgets = ("--d", 1, "--epsilon", 0.1) if command in ("decide", "attack") else ()
    code, printed = run(command, notes, "--guard", f"{module}:Guard", "--max-edits", 2, *more, *budgets)
    assert code == 1
    assert f"error: guard = '{module}:Guard': Guard.unsafe(...) = no answer, but SystemExit" in printed.err


@pytest.mark.usefixtures("path")
def test_an_entry_that_the_guard_cannot_encode_is_refused_or_skipped(run, notes, tmp_path, module):
    text = json.loads((notes / "notes.jsonl").read_text().splitlines()[1])["text"]
    encode = f"""def encode(self, text):
        if text == {text!r}:
            return self.words[text]
        return [ord(letter) % 128 for letter in text]
    words = {{}}"""
    source = re.sub(r"def encode.*", lambda _: encode, WHOLE)
    (tmp_path / f"{module}.py").write_text(source)
    asked = ("certify", notes, "--guard", f"{module}:Guard", *SMALL)
    code, printed = run(*asked)
    said = f"entry notes/2: Guard.encode(...) = no answer, but KeyError: {text!r}: correct the guard's own code"
    assert (code, printed.err.strip().splitlines()[-1]) == (
        1,
        f"error: guard = '{module}:Guard': {said} ({module}.py, line 8); give --on-problem skip to leave it out",
    )
    code, printed = run(*asked, "--on-problem", "skip")
    assert code == 0, printed.err
    assert "1 entries were left out:\n  notes/2: Guard.encode(...) = no answer, but KeyError" in printed.out


@pytest.mark.usefixtures("path")
def test_a_neutral_text_that_the_guard_cannot_encode_is_not_blamed_on_an_entry(run, notes, tmp_path, module):
    source = WHOLE.replace("[ord(letter) % 128 for letter in text]", "{'Describe': [1]}.get(text) or [text.x]")
    (tmp_path / f"{module}.py").write_text(source)
    code, printed = run("certify", notes, "--guard", f"{module}:Guard", "--interaction-only", *SMALL)
    assert code == 1
    assert "Guard.encode(...) = no answer, but AttributeError: " in printed.err
    assert "for --neutral-text 'Describe the image.'" in printed.err


@pytest.mark.usefixtures("path")
def test_margins_with_a_guard_without_scores_name_the_option(run, notes, tmp_path, module):
    (tmp_path / f"{module}.py").write_text(WHOLE)
    code, printed = run("calibrate", notes, "--guard", f"{module}:Guard", "--margins", "0,2", *EASY)
    said = "error: margins = '0,2': the guard Guard has no scores(...) and field margin; leave the option out"
    assert (code, printed.err.strip().splitlines()[-1]) == (1, said)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "one of --model, --guard and --endpoint"),
        (("--guard", "a:b", "--model", "bay_guard"), 2, "one of --model, --guard and --endpoint"),
        (("--guard", "my_guard"), 1, "guard = 'my_guard': give the module and the name in it, such as my_guard:make"),
        (("--guard", "../x:make"), 1, "guard = '../x:make': give the module"),
        (("--guard", "no_such_module:make"), 1, "there is no module no_such_module in this folder"),
        (("--guard", "hybrid_rs.nothing:make"), 1, "there is no module hybrid_rs.nothing in this folder"),
        (("--guard", "a:b", "--margin", 2), 1, "margin = 2.0: a guard in Python decides this itself"),
        (("--guard", "a:b", "--mask", "?"), 1, "mask = ?: a guard in Python decides this itself"),
        (("--guard", "a:b", "--image-size", 8), 1, "image_size = 8: a guard in Python decides"),
        (("--guard", "a:b", "--device", "cuda"), 1, "device = cuda: a guard in Python decides"),
    ],
)
@pytest.mark.usefixtures("path")
def test_options_that_do_not_go_with_such_a_guard_are_refused(run, notes, options, code, message):
    found, printed = run("certify", notes, *options, *SMALL)
    assert found == code
    assert message in " ".join(printed.err.replace("│", " ").split())
