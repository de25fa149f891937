"""Forwarded members: a guard that wraps another guard has the same alphabet, pad and mask."""

from __future__ import annotations

from typing import Any


def forwarded(name: str, *default: Any) -> Any:
    """Return a property that is the member ``name`` of ``self.guard``.

    Args:
        name: name of the member.
        default: the value if the guard has no such member; by default an ``AttributeError``, as if there were no
            property.

    Example:
        >>> from types import SimpleNamespace
        >>> class Around:
        ...     guard = SimpleNamespace(pad_id=7)
        ...     pad_id, margin = forwarded("pad_id"), forwarded("margin", 0.0)
        >>> Around().pad_id, Around().margin
        (7, 0.0)
    """
    return property(lambda self: getattr(self.guard, name, *default), doc=f"``{name}`` of the guard inside.")
