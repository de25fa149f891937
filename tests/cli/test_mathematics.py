"""The command line: what it prints, and one message for each mistake."""

import json
import sys

import pytest

import hybrid_rs as hrs
from hybrid_rs import cli


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["hybrid-rs", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return exit_info.value.code, capsys.readouterr()


def test_radius_prints_floored_radii(monkeypatch, capsys):
    code, printed = run(monkeypatch, capsys, "radius", "--p-a", "0.99954", "--d-max", "6")
    assert code == 0
    assert "d = 3: epsilon <= 4.649" in printed.out
    assert "d = 6: not certified" in printed.out


def test_plan_says_what_a_target_takes(monkeypatch, capsys):
    target = ("plan", "--d", "3", "--epsilon", "1")
    code, printed = run(monkeypatch, capsys, *target)
    assert code == 0
    assert "p_A must be at least 0.98498" in printed.out
    assert "Draw 305 times" in printed.out
    assert "hopeless" in run(monkeypatch, capsys, *target, "--p-a", "0.98")[1].out.lower()


def test_plan_says_what_so_many_draws_can_certify_at_most(monkeypatch, capsys):
    code, printed = run(monkeypatch, capsys, "plan", "--n", "10000", "--d-max", "6")
    assert code == 0
    assert "d = 5: epsilon <= 1.750" in printed.out
    assert "d = 6: not certified" in printed.out
    most = hrs.ceiling(10_000, hrs.UniformKernel(0.25, 32_000), sigma=1.0, tau=4.6e-5, d_max=5)
    found = json.loads(run(monkeypatch, capsys, "plan", "--n", "10000", "--d-max", "5", "--json")[1].out)
    assert found["radii"] == most.radii.tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan",), "give a target (--d and --epsilon) or a number of draws (--n)"),
        (("plan", "--n", "100", "--power", "0.5"), "power = 0.5: it is for a target"),
        (("plan", "--d", "1", "--epsilon", "1", "--d-max", "3"), "d_max = 3: it is for --n"),
        (("plan", "--d", "3"), "d, epsilon, n = 3, None, None"),
        (("plan", "--n", "9", "--d", "3", "--epsilon", "1"), "d, epsilon, n = 3, 1.0, 9"),
        (("plan", "--n", "9", "--p-a", "0.9"), "p_a = 0.9: leave it out with --n"),
        (("radius", "--p-a", "0.9", "--save", "no/such/folder/x"), "save = 'no/such/folder/x': no such folder"),
        (("radius", "--p-a", "1.5"), "p_a = 1.5"),
        (("radius", "--p-a", "0.9", "--beta", "nan"), "beta = nan"),
        (("run", "no-such-experiment"), "name = 'no-such-experiment': no notebook"),
        (("run", "T1", "-p", "sgima=1"), "sgima = 1: no such parameter"),
        (("run", "T1", "-p", "sigma"), "parameter = 'sigma': write it as NAME=VALUE"),
        (("run", "T1", "--profile", "quik"), "profile = 'quik'"),
        (("train", "--steps", "0"), "steps = 0"),
        (("train", "--device", "tpu"), "device = tpu: torch sees cpu"),
        (("verify", "no-such-file"), "file = 'no-such-file': no such file"),
    ],
)
def test_a_mistake_is_one_message_and_a_status(monkeypatch, capsys, arguments, message):
    code, printed = run(monkeypatch, capsys, *arguments)
    assert code == 1
    assert printed.err.startswith("error: ")
    assert message in printed.err


def test_saved_certificates_are_verified_and_a_changed_one_is_named(monkeypatch, capsys, tmp_path):
    file = tmp_path / "certificates.jsonl"
    run(monkeypatch, capsys, "radius", "--p-a", "0.99954", "--save", str(file))
    code, printed = run(monkeypatch, capsys, "verify", str(file))
    assert code == 0
    assert printed.out == "6 of 6 bounds proved; 6 of them certified at their tau\n"
    told = json.loads(run(monkeypatch, capsys, "verify", str(file), "--json")[1].out)
    assert told == {"bounds": 6, "proved": 6, "certified": 6}

    lines = file.read_text().splitlines()
    claim = json.loads(lines[2])
    claim["p_adv"] *= 1 + 1e-9
    file.write_text("\n".join([*lines[:2], json.dumps(claim), *lines[3:]]))
    code, printed = run(monkeypatch, capsys, "verify", str(file))
    assert code == 1
    assert printed.err.startswith("line 3: p_adv = ")
    assert printed.out.startswith("5 of 6 bounds proved")


def test_json_is_not_rounded_and_has_null_where_there_is_no_number(monkeypatch, capsys):
    printed = run(monkeypatch, capsys, "radius", "--p-a", "0.99954", "--d-max", "6", "--json")[1]
    found = json.loads(printed.out)
    front = hrs.frontier(0.99954, hrs.UniformKernel(0.25, 32_000), sigma=1.0, tau=4.6e-5, d_max=6)
    assert found["radii"] == [*front.radii[:6].tolist(), None]
    target = ("plan", "--d", "3", "--epsilon", "1", "--json")
    assert json.loads(run(monkeypatch, capsys, *target)[1].out)["draws"] == 305
    assert json.loads(run(monkeypatch, capsys, *target, "--p-a", "0.98")[1].out)["draws"] is None


def test_a_file_of_certificates_that_is_no_text_is_named(monkeypatch, capsys, tmp_path):
    file = tmp_path / "image.png"
    file.write_bytes(b"\x89PNG\xff\xfe")
    code, printed = run(monkeypatch, capsys, "verify", str(file))
    assert code == 1
    assert f"file = {str(file)!r}: it is not UTF-8" in printed.err


def test_a_run_that_draws_again_says_where(monkeypatch, capsys):
    printed = run(monkeypatch, capsys, "run", "T1", "--resample", "-p", "sgima=1")[1]
    assert "kept in data/resampled, or next to your own data: remove that folder to start again" in printed.err
