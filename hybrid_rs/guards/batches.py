"""Batches that shrink when the device runs out of memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hybrid_rs._extras import needs

with needs("guard"):
    import torch

NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|ALLOC(ATION)?_FAILED"
)  # in addition to torch's own exception


@dataclass
class BatchSize:
    """The current batch size; whenever memory runs out, it is halved, and it never grows again.

    Args:
        size: the first batch size.
    """

    size: int

    def run(self, n: int, work: Callable[[slice], None]) -> None:
        """Call ``work`` on slices of 0 to n - 1, in order; a slice that does not fit into memory is repeated in halves.

        Args:
            n: number of rows.
            work: writes the results of a slice of rows; it may be called again with a part of the slice.

        Raises:
            RuntimeError: from ``work``, if a single row does not fit, or if the reason is not memory.
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
        torch.cuda.empty_cache()  # after the handler, which keeps the failed call's memory alive
        return False
