"""The code of the guide for contributors runs, and each example is short."""

import inspect
import re
from pathlib import Path

import pytest

GUIDE = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text()
BLOCKS = dict(re.findall(r"^## (An? \w+)\n.*?^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))


def test_it_shows_a_kernel_a_threat_a_guard_and_an_experiment():
    assert list(BLOCKS) == ["A kernel", "A threat", "A guard", "An experiment"]


@pytest.mark.parametrize("kind", BLOCKS)
def test_an_example_runs_with_its_test_in_under_fifty_lines(kind, tmp_path):
    assert BLOCKS[kind].count("\n") < 50
    names = {"__name__": "guide"}
    exec(BLOCKS[kind], names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0](*([tmp_path] if "tmp_path" in inspect.signature(tests[0]).parameters else []))
