"""Batches that shrink when the device runs out of memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hybrid_rs._extras import needs

with needs("guard"):
    import torch

NO_MEMORY = re.compile(r"out of memory|can't allocate memory|ALLOC(ATION)?_FAILED")  # beside torch's own class of it


@dataclass
class BatchSize:
    """How many rows go through a model at once: half of what did not fit, whenever memory runs out, and never raised.

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
            RuntimeError: what ``work`` raises, if a single row does not fit, or for another reason than memory.
        """
        start = 0
        while start < n:
            rows = slice(start, min(n, start + self.size))
            if self._fits(work, rows):
                start = rows.stop

    def _fits(self, work: Callable[[slice], None], rows: slice) -> bool:
        try:
            work(rows)
        except RuntimeError as error:
            known = isinstance(error, torch.OutOfMemoryError) or NO_MEMORY.search(str(error))
            if not known or rows.stop - rows.start == 1:
                raise
        else:
            return True
        self.size = (rows.stop - rows.start) // 2
        torch.cuda.empty_cache()  # after the handler, which holds on to what the failed call had allocated
        return False
