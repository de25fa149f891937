"""One kernel start each: the tests that execute a notebook are few."""

import json
import os
import sys

import nbformat
import pytest

from hybrid_rs.experiments import ExperimentFailed, run_experiment, run_experiments
from hybrid_rs.experiments.parameters import declared_in
from hybrid_rs.experiments.runner import NOTEBOOKS

PARAMETERS = 'profile = "quick"\nsigma: float | None = 0.5'


def outputs(path):
    return [output.get("text") for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]


@pytest.mark.parametrize("forked", [False, True])
def test_profile_and_parameters_reach_the_notebook_in_the_callers_folder_and_python(
    tmp_path, write_notebook, monkeypatch, forked
):
    decoy = tmp_path / "kernels" / "python3"  # another environment's kernel of the same name, found first
    decoy.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "Python 3", "language": "python"}
    (decoy / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.chdir(here := tmp_path / "kernels")
    monkeypatch.setenv("SET_LATE", "here")
    source = (
        "import os, sys\nprint(profile, sigma, os.getcwd(), sys.executable, os.environ['SET_LATE'], '' in sys.path)"
    )
    write_notebook(tmp_path / "T.ipynb", PARAMETERS, source)
    output = tmp_path / "deep" / "T.ipynb"
    law = {"profile": "standard", "parameters": {"sigma": 1.5}}
    run_experiment("T", **law, output=output, notebooks=tmp_path, forked=forked)
    assert outputs(output) == [f"standard 1.5 {here} {sys.executable} here True\n"]
    assert [path.name for path in output.parent.iterdir()] == ["T.ipynb"]


def test_a_failure_names_cell_and_cause_keeps_what_ran_and_spares_the_old_output(tmp_path, write_notebook):
    write_notebook(tmp_path / "T.ipynb", PARAMETERS, "print('before')", "# here\n1 / 0", "print('after')")
    output = tmp_path / "out.ipynb"
    output.write_text("an earlier result")
    with pytest.raises(
        ExperimentFailed, match=r"T, cell \[\d\] \(# here\): ZeroDivisionError: division by zero"
    ) as info:
        run_experiment("T", output=output, notebooks=tmp_path)
    partial = tmp_path / "out.partial.ipynb"
    assert str(partial) in str(info.value)
    assert outputs(partial)[0] == "before\n"
    assert output.read_text() == "an earlier result"


def test_a_forked_kernel_draws_inline_is_alone_and_its_death_is_told(tmp_path, write_notebook):
    plot = "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()"
    leave = "import os\nprint(os.getpid(), os.getpgid(0))"
    write_notebook(tmp_path / "T.ipynb", PARAMETERS, plot, leave, "os._exit(1)")
    with pytest.raises(ExperimentFailed, match="T: its process died"):
        run_experiment("T", output=tmp_path / "out.ipynb", notebooks=tmp_path, forked=True)
    partial = nbformat.read(tmp_path / "out.partial.ipynb", 4)
    shown = [list(output.get("data", ())) for cell in partial.cells for output in cell.get("outputs", [])]
    assert ["image/png", "text/plain"] in map(sorted, shown)
    pid, group = next(text for text in outputs(tmp_path / "out.partial.ipynb") if text).split()
    assert pid == group
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"parameters": {"sgima": 1.0}}, "sgima = 1.0: no such parameter"),
        ({"parameters": {"sigma": "1"}}, "sigma = '1': this is str"),
        ({"profile": "quik"}, "profile = 'quik': give one of quick, standard, full"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path, write_notebook, call, message):
    write_notebook(tmp_path / "T.ipynb", PARAMETERS)
    with pytest.raises(ValueError, match=message):
        run_experiment("T", output=tmp_path / "out.ipynb", notebooks=tmp_path, **call)
    assert [path.name for path in tmp_path.iterdir()] == ["T.ipynb"]


def test_a_notebook_must_declare_its_profile(tmp_path, write_notebook):
    write_notebook(tmp_path / "T.ipynb", "sigma = 0.5")
    with pytest.raises(ValueError, match="profile = 'quick': no such parameter"):
        run_experiment("T", output=tmp_path / "out.ipynb", notebooks=tmp_path)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_experiment_declares_its_profile_and_is_quick_by_default(path):
    assert declared_in(path)["profile"].default == "quick"


WAITS = """
import os, time
open(f"{name}.began", "w").close()
for other in others:
    while not os.path.exists(f"{other}.began"):
        time.sleep(0.05)
print(os.environ.get("OMP_NUM_THREADS"), sorted(file for file in os.listdir() if file.startswith("T")))
"""


def test_experiments_run_side_by_side_but_what_measures_seconds_runs_alone(tmp_path, write_notebook, monkeypatch):
    (notebooks := tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    others = {"A": ["B"], "B": ["A"], "T4": []}  # A and B would wait for ever, one after the other
    for name, waits in others.items():
        fails = "" if name != "B" else "\n1 / 0"
        source = f"name, others = {name!r}, {waits}\n{WAITS}{fails}"
        write_notebook(notebooks / f"{name}.ipynb", 'profile = "quick"', source)
    done = dict(run_experiments(folder=tmp_path / "out", notebooks=notebooks, at_once=2))
    assert next(iter(done)) == "T4"
    assert outputs(tmp_path / "out" / "T4.ipynb") == ["None ['T4.began']\n"]
    assert outputs(tmp_path / "out" / "A.ipynb") == ["1 ['T4.began']\n"]
    assert done["A"] is done["T4"] is None
    assert "ZeroDivisionError" in str(done["B"])
