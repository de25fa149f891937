import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_rs.cli.experiments import _assignment
from hybrid_rs.experiments import provenance, provenance as public
from hybrid_rs.experiments.parameters import find_notebook
from hybrid_rs.storage import records

MODULE = Path(sys.modules[public.__module__].__file__)


def test_it_says_everything_a_reader_needs_to_repeat_the_run():
    text = provenance({"sigma": 0.5, "d": 2}, counts=["data/counts/T1.csv"])._repr_markdown_()
    for fact in ("commit ", "sigma = 0.5, d = 2", "numpy ", " cores", " s", "`data/counts/T1.csv`"):
        assert fact in text


def test_the_command_of_an_experiment_gives_back_its_parameters(monkeypatch):
    declared = find_notebook("F1")[1]
    values = {name: parameter.default for name, parameter in declared.items()} | {"unrelated": object()}
    monkeypatch.setattr(sys.modules[public.__module__], "notebook_values", lambda: values)
    plain = provenance(experiment="F1")
    assert plain.command == "hybrid-rs run F1 --profile quick"
    assert plain.parameters == {name: parameter.default for name, parameter in declared.items()}
    values |= {"profile": "standard", "tau": 0.5, "seed": 3}
    changed = provenance({"n": 7}, experiment="F1")
    command, *words = shlex.split(changed.command)
    assert (command, words[:4]) == ("hybrid-rs", ["run", "F1", "--profile", "standard"])
    assert dict(_assignment(word) for word in words[5::2]) == {"tau": 0.5, "seed": 3}
    assert changed.parameters["n"] == 7
    assert f"`{changed.command}`" in changed._repr_markdown_()


def test_files_are_named_from_the_root_with_what_was_drawn_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "DATA", tmp_path / "data")
    monkeypatch.setattr(sys.modules[public.__module__], "DATA", tmp_path / "data")
    counts = tmp_path / "data" / "counts"
    counts.mkdir(parents=True)
    assert provenance(counts=["data/counts/quick.jsonl"]).counts == ("data/counts/quick.jsonl",)
    (counts / "quick.local.jsonl").touch()
    both = ("data/counts/quick.jsonl", "data/counts/quick.local.jsonl")
    assert provenance(counts=[counts / "quick.jsonl"]).counts == both
    assert provenance(counts=["/elsewhere/my.jsonl"]).counts == ("/elsewhere/my.jsonl",)


@pytest.fixture
def commit_of(tmp_path):
    """What a copy of the package in a folder of its own says of its commit."""
    package = tmp_path / "hybrid_rs" / "experiments"
    package.mkdir(parents=True)
    shutil.copy(MODULE, package / "provenance.py")

    def ask():
        code = "from provenance import provenance; print(provenance().commit)"
        return subprocess.run([sys.executable, "-c", code], cwd=package, capture_output=True, text=True).stdout.strip()

    return ask


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_unknown_outside_git_and_marked_when_modified(tmp_path, commit_of):
    assert commit_of() == "unknown"
    git(tmp_path, "init")
    assert commit_of() == "unknown"  # a repository that does not track the package
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "all")
    clean = commit_of()
    assert clean.isalnum()
    (tmp_path / "new").write_text("")
    assert commit_of() == f"{clean}, modified"
