"""A model on several devices needs an optional package; guards that are spread: spread_checkpoints.py."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import save_llava
from transformers.cache_utils import DynamicCache

from hybrid_rs.guards import checkpoint
from hybrid_rs.guards.prefix import selected
from hybrid_rs.guards.spread import require_resident, spread
from hybrid_rs.guards.vlm import VisionLanguageGuard


def test_a_missing_package_is_named_before_weights_are_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r'accelerate is not installed: pip install "hybrid_rs\[spread\]"'):
        VisionLanguageGuard.from_pretrained(save_llava(tmp_path), device_map="auto")


@pytest.mark.parametrize("given", ["balanced", "", {}, {0: "cpu"}, 1])
def test_other_maps_are_refused(given):
    with pytest.raises(ValueError, match=r'device_map = .*: give "auto", or a dictionary from names of parts'):
        spread(given)


def test_one_device_and_a_map_are_not_given_together(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", sys)
    assert spread({"": 0}) == {"device_map": {"": 0}}
    assert spread(None, "cuda") == {}
    with pytest.raises(ValueError, match="device = 'cuda': leave it out"):
        spread("auto", "cuda")


def test_weights_that_fit_on_no_card_are_refused():
    with torch.device("meta"):
        away = torch.nn.Linear(2, 3)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), away)
    with pytest.raises(ValueError, match=r"device_map = 2 weights that fit on no card \(1.bias, 1.weight\): give more"):
        require_resident(model)
    require_resident(model[0])


@pytest.mark.parametrize("kind", ["plain", "other"])
def test_rows_of_a_layer_are_selected_where_its_keys_are(kind):
    """The second device has shapes and no numbers, so this says where the selection is made, and not what it is."""
    cache = DynamicCache()
    for place, device in enumerate(("cpu", "meta")):
        cache.update(torch.arange(24.0, device=device).view(2, 1, 6, 2), torch.zeros(2, 1, 6, 2, device=device), place)
    if kind == "other":
        cache.layers = [_other(layer) for layer in cache.layers]
    part = selected(cache, np.array([1, 0, 1]), 4)
    new = [torch.ones(3, 1, 1, 2, device=device) for device in ("cpu", "meta")]
    keys = [part.layers[place].update(each, each)[0] for place, each in enumerate(new)]
    assert [each.device.type for each in keys] == ["cpu", "meta"]
    assert {tuple(each.shape) for each in keys} == {(3, 1, 5, 2)}
    expected = cache.layers[0].keys[[1, 0, 1], :, :4]
    torch.testing.assert_close(keys[0][:, :, :4], expected)


def _other(layer):
    """The same layer, of a class that has to select rows itself."""
    found = type("Other", (type(layer),), {})()
    found.__dict__.update(vars(layer))
    return found


def test_the_map_is_given_to_what_loads_the_weights(monkeypatch, tmp_path):
    """What is loaded is given the map."""
    monkeypatch.setitem(sys.modules, "accelerate", SimpleNamespace())
    asked, load = {}, checkpoint.loaded

    def without(kind, folder, **options):
        asked.update(options)
        options.pop("device_map", None)
        return load(kind, folder, **options)

    monkeypatch.setattr(checkpoint, "loaded", without)
    VisionLanguageGuard.from_pretrained(save_llava(tmp_path), device_map={"": "cpu"})
    assert asked["device_map"] == {"": "cpu"}
