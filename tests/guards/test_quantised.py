"""Fewer bits need an optional package, and are asked for in one way; guards in fewer bits: quantised_checkpoints.py."""

import sys

import pytest
from small_models import save_llava

from hybrid_rs.guards.quantised import quantised
from hybrid_rs.guards.vlm import VisionLanguageGuard


@pytest.mark.parametrize("missing", ["bitsandbytes", "accelerate"])
def test_a_missing_package_is_named_before_weights_are_read(tmp_path, monkeypatch, missing):
    for name in ("bitsandbytes", "accelerate"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    with pytest.raises(ImportError, match=rf'{missing} is not installed: pip install "hybrid_rs\[quantised\]"'):
        VisionLanguageGuard.from_pretrained(save_llava(tmp_path), bits=8)


@pytest.mark.parametrize("bits", [2, 16, 8.0, "8", True])
def test_other_numbers_of_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"bits = {bits!r}: give 8 or 4"):
        quantised(bits, "float32", "cpu")


def test_by_default_nothing_is_quantised():
    assert quantised(None, "float32", "cpu") == {}
