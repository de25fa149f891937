"""Members of a guard that another guard has, too: those that go around a guard have its alphabet, pad and mask."""

from __future__ import annotations

from typing import Any


def forwarded(name: str, *default: Any) -> Any:
    """Return a property that is the member ``name`` of ``self.guard``.

    Args:
        name: of the member.
        default: what it is where the guard has none; by default an ``AttributeError``, as if there were no property.

    Example:
        >>> from types import SimpleNamespace
        >>> class Around:
        ...     guard = SimpleNamespace(pad_id=7)
        ...     pad_id, margin = forwarded("pad_id"), forwarded("margin", 0.0)
        >>> Around().pad_id, Around().margin
        (7, 0.0)
    """
    return property(lambda self: getattr(self.guard, name, *default), doc=f"``{name}`` of the guard inside.")
