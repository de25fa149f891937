"""A model on several devices, by ``accelerate``: for weights that are larger than one card."""

from __future__ import annotations

from typing import Any

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

SHOWN = 3  # names of weights in a message


def spread(device_map: str | dict[str, str | int] | None, device: str = "cpu") -> dict[str, Any]:
    """Return the options with which ``transformers`` puts parts of a model on devices; none where the map is None.

    Args:
        device_map: "auto": in order, as much on each card as it has room for; or the device of each part of the network
            by its name, such as ``{"model.vision_tower": 0, "model.language_model": 1, "lm_head": 1}``.
        device: the one device that was asked for; with a map it must be left at "cpu".

    Raises:
        ValueError: if the map is another, or a device is given, too.
        ImportError: if ``accelerate`` is missing.

    Example:
        >>> spread(None)
        {}
        >>> spread("balanced")
        Traceback (most recent call last):
        ValueError: device_map = 'balanced': give "auto", or a dictionary from names of parts to devices
    """
    if device_map is None:
        return {}
    named = isinstance(device_map, dict) and bool(device_map) and all(isinstance(part, str) for part in device_map)
    remedy = 'give "auto", or a dictionary from names of parts to devices'
    require(device_map == "auto" or named, "device_map", device_map, remedy, repr)
    require(device == "cpu", "device", device, "leave it out: device_map says where the parts of the model are", repr)
    with needs("spread"):
        import accelerate  # noqa: F401
    return {"device_map": device_map}


def require_resident(model: Any) -> None:
    """Require that every weight stays on its device.

    Where cards have too little room, ``accelerate`` keeps the rest in the computer's memory or on its disk, and loads
    it for every forward pass. That is too slow for thousands of draws, and such weights cannot be identified.

    Args:
        model: the network.

    Raises:
        ValueError: if it does not; it names the first weights.
    """
    away = sorted(name for name, weight in model.named_parameters() if weight.device.type == "meta")
    some = f"{len(away)} weights that fit on no card ({', '.join(away[:SHOWN])}{', ...' if len(away) > SHOWN else ''})"
    require(not away, "device_map", some, "give more cards, or fewer bits (bits=4)")
