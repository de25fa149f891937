"""The suite for a GPU runs here with small stand-ins: each step leaves its result, and a failure costs itself alone."""

import json
import sys

import pytest


@pytest.fixture
def suite(monkeypatch, tmp_path):
    import gpu_suite

    def run(*steps, minutes="1"):
        options = ["--out", str(tmp_path), "--tiny", "--device", "cpu", "--minutes", minutes]
        monkeypatch.setattr(
            sys, "argv", ["gpu_suite.py", *options, *[word for step in steps for word in ("--step", step)]]
        )
        gpu_suite.main()
        return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}

    run.module = gpu_suite
    return run


def test_the_first_steps_leave_their_results(suite):
    found = suite("ceiling", "noise", "agreement", "LLaVA-1.5-7B")
    assert found["ceiling"]["operations per second"] > 1e6
    assert found["noise"]["equal"] is True
    assert found["agreement"]["differ"] == 0
    assert found["agreement"]["draws"] == 64
    assert found["LLaVA-1.5-7B"]["16 texts x"] > 1
    assert all(each["tiny"] and "error" not in each for each in found.values())


def test_a_step_that_fails_costs_itself_alone(suite, monkeypatch):
    monkeypatch.setitem(suite.module.STEPS, "ceiling", lambda run: 1 / 0)
    found = suite("ceiling", "noise")
    assert "ZeroDivisionError" in found["ceiling"]["error"]
    assert found["noise"]["equal"] is True


def test_after_the_time_no_step_begins(suite, capsys):
    assert suite("noise", minutes="-1") == {}
    assert "noise: left out" in capsys.readouterr().out


def test_without_a_gpu_it_says_what_to_do(suite, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_suite.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="--tiny --device cpu"):
        suite.module.main()
