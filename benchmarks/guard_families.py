"""How far is a guard of each family from its stock processor and model? Tiny checkpoints of the real classes.

Writes data/guards/families.jsonl, which the book shows. About a minute on one core.

    PYTHONPATH=tests python benchmarks/guard_families.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import transformers
from small_families import save_family
from small_models import save_llava, save_onevision

from hybrid_rs.checkout import checkout
from hybrid_rs.guards.families import FAMILIES
from hybrid_rs.guards.measured import measured
from hybrid_rs.guards.vlm import VisionLanguageGuard

SAVED = {"llava": save_llava, "llava_onevision": save_onevision}
SIZE, POLICY = (48, 64), "Say safe or unsafe.\n"


def main() -> None:
    """Measure every family."""
    rows = []
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as home:
            folder = SAVED[family](Path(home)) if family in SAVED else save_family(family, Path(home))
            size = None if family == "llava" else SIZE  # None: the model's own size, which this package prepares
            guard = VisionLanguageGuard.from_pretrained(folder, image_size=size, policy=POLICY, batch_size=4)
            about = {"family": family, "class": type(guard.model).__name__, "transformers": transformers.__version__}
            about |= {"parameters": sum(weight.numel() for weight in guard.model.parameters())}
            rows.append(about | measured(guard))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (checkout("data/guards") / "families.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
