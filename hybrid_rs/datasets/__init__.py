"""Data sets of (text, image) examples, loaded from the user's disk and checked.

Each layout has a module: ``jsonl``, ``hateful_memes``, ``mm_safetybench``, ``hugging_face``. They share ``entries``,
where every entry is checked and becomes an example for a guard. ``images`` and ``whole`` decode image files safely.
``interaction`` measures how much each modality tells about the label.
"""

from hybrid_rs.datasets.entries import Entries, Entry, Problem
from hybrid_rs.datasets.hateful_memes import load_hateful_memes
from hybrid_rs.datasets.hugging_face import load_hugging_face
from hybrid_rs.datasets.jsonl import load_jsonl
from hybrid_rs.datasets.mm_safetybench import load_mm_safetybench

__all__ = [
    "Entries",
    "Entry",
    "Problem",
    "load_hateful_memes",
    "load_hugging_face",
    "load_jsonl",
    "load_mm_safetybench",
]
