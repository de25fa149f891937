"""Data sets of (text, image) examples: made here (``bay_notes``), or loaded from a user's disk."""

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
