"""Batches that shrink when the device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass
class BatchSize:
    """How many rows go through a model at once: halved whenever the device runs out of memory, and never raised.

    Args:
        size: rows to begin with.
    """

    size: int

    def run(self, n: int, work: Callable[[slice], None]) -> None:
        """Call ``work`` on slices of 0 to n - 1, in order; a slice that did not fit is done again in halves.

        Args:
            n: number of rows.
            work: writes the results of a slice of rows, the same ones each time it is asked.

        Raises:
            torch.OutOfMemoryError: if a single row does not fit.
        """
        start = 0
        while start < n:
            rows = slice(start, min(n, start + self.size))
            if self._fits(work, rows):
                start = rows.stop

    def _fits(self, work: Callable[[slice], None], rows: slice) -> bool:
        try:
            work(rows)
        except torch.OutOfMemoryError:
            if self.size == 1:
                raise
        else:
            return True
        self.size //= 2  # after the handler, which holds on to what the failed call had allocated
        torch.cuda.empty_cache()
        return False
