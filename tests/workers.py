"""What the tests of engines and of the counts store run in processes of their own, which must be able to import it."""

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from toys import EXAMPLE, KERNEL, NESTED, ToyGuard

try:
    import ray
except ImportError:  # only the tests that start a cluster need it, and they say so
    ray = None

import hybrid_rs as hrs
from hybrid_rs.storage.counts import CountsStore

EXAMPLES = [replace(EXAMPLE, id=f"toy/{i}") for i in range(12)]


@dataclass
class SlowGuard(ToyGuard):
    """Takes a while over each batch, by the text and the noise: units finish in another order than they began."""

    seconds: float = 0.01

    def unsafe(self, token_ids, images):
        time.sleep(self.seconds * (1 + int(1e4 * abs(images[0, 0, 0, 0])) % 5))
        return super().unsafe(token_ids, images)


@dataclass
class MortalGuard(ToyGuard):
    """Takes its process with it the first time that it is asked; every time, if it leaves no mark of its death."""

    death: Path | None = None

    def unsafe(self, token_ids, images):
        if self.death is None or not self.death.exists():
            if self.death:
                self.death.touch()
            os._exit(1)
        return super().unsafe(token_ids, images)


@dataclass
class PlacedGuard(ToyGuard):
    """Leaves in a folder the node and the GPU that its worker was given."""

    folder: Path | None = None

    def unsafe(self, token_ids, images):
        node, gpus = ray.get_runtime_context().get_node_id(), os.environ.get("CUDA_VISIBLE_DEVICES")
        (self.folder / f"{node} {gpus}").touch()
        return super().unsafe(token_ids, images)


def smoothed(guard):
    return hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=NESTED)


def write(path, seconds, step=1):
    """Draw all examples, from the first or from the last, into a file."""
    guard = smoothed(SlowGuard(seconds=seconds))
    CountsStore(Path(path), "a").sample(guard, EXAMPLES[::step], n=100, progress=False)


if __name__ == "__main__":
    write(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
