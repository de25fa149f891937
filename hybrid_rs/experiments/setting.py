"""The common setting of the experiments: a guard, three sets of examples, and the store of their counts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from hybrid_rs._checks import integer, require
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.threats import Threat
from hybrid_rs.checkout import require_tree
from hybrid_rs.datasets.entries import Entries
from hybrid_rs.datasets.layouts import load_any
from hybrid_rs.experiments.profiles import Profile, get_profile
from hybrid_rs.experiments.provenance import shown
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.counts import CountsStore
from hybrid_rs.storage.engines import get_engine
from hybrid_rs.storage.records import DATA

COUNTS = DATA / "counts"
RESAMPLED = DATA / "resampled"  # where the book's counts are drawn again


@dataclass(frozen=True)
class Setting:
    """A guard, the examples of a profile, and the store in which their counts are kept.

    Args:
        guard: the base classifier.
        sets: examples by "unsafe" (to certify), "safe" (to measure false alarms) and "calibration" (further safe
            examples, on which a threshold may be chosen).
        store: where counts are read and appended.
        size: the profile.
        seed: seed of the draws.
        own: whether guard and data are the user's; the book asserts no results for these.
    """

    guard: Guard
    sets: dict[str, list[Example]]
    store: CountsStore
    size: Profile
    seed: int = 0
    own: bool = False

    def smoothed(self, sigma: float, threat: Threat, beta: float = 0.25) -> SmoothedGuard:
        """Return the guard smoothed by the uniform kernel over its alphabet."""
        return SmoothedGuard(self.guard, UniformKernel(beta, len(self.guard.alphabet)), sigma, threat)

    @property
    def counted(self) -> str:
        """The file of counts as provenance shows it, relative to the repository's root."""
        return shown(self.store.path)

    def beside(self, kind: str) -> Path:
        """Return the path of another store of this setting, such as "streams", in the folder of the counts."""
        return self.store.path.with_name(f"{kind}_{self.store.path.name}")

    def counts(self, name: str, smoothed: SmoothedGuard, *, masked: bool = False, texts: int = 1) -> list[Any]:
        """Return the counts of a set's examples, one entry each; missing counts are drawn.

        With several texts for each image, fewer images are drawn: the number of evaluations stays the same.
        """
        n = max(1, self.size.n // integer("texts", texts, at_least=1))
        return self.store.sample(smoothed, self.sets[name], n=n, seed=self.seed, masked=masked, texts=texts)

    def counts_together(self, name: str, smoothed: Sequence[SmoothedGuard]) -> list[list[Any]]:
        """Return :meth:`counts` under smoothed guards that differ only in kernel, drawn with the same noise."""
        return self.store.sample_together(smoothed, self.sets[name], n=self.size.n, seed=self.seed)


def get_setting(
    profile: str,
    *,
    model: str = "",
    data: str = "",
    benign: str = "",
    seed: int = 0,
    resample: bool = False,
    engine: str = "local",
    guard: Mapping[str, Any] | None = None,
) -> Setting:
    """Return the setting of the book, or one of a user's own guard and data.

    Args:
        profile: "quick", "standard" or "full".
        model: folder of a checkpoint for :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`; empty: the small guard.
        data: labelled entries in any layout that :func:`hybrid_rs.datasets.layouts.load_any` reads; empty: BayNotes.
            The first unsafe entries are certified; every second safe entry is used for calibration. There may be fewer
            entries than in the profile. Counts are stored next to the file or folder.
        benign: labelled entries in such a layout, whose safe ones replace those of ``data``. Then ``data`` may have
            only unsafe ones, as MM-SafetyBench has. Empty: the safe entries of ``data``.
        seed: seed of the draws.
        resample: draw all counts again, into a folder ``resampled`` (in ``data``, or next to the user's data), where a
            stopped run resumes; by default stored counts are used.
        engine: where missing counts, streams and attacks are made; see :func:`hybrid_rs.storage.engines.get_engine`.
        guard: how the guard is loaded: keyword arguments of
            :meth:`hybrid_rs.guards.vlm.VisionLanguageGuard.from_pretrained`, such as ``{"device": "cuda"}``, or
            ``{"policy": "...", "dtype": "bfloat16"}``. Another classifier has its own counts.

    Raises:
        ValueError: if there is no such profile, engine, model, file or argument of the guard, only one of model and
            data is given, an entry has no label, or there are too few entries.
    """
    require(bool(data) or not benign, "benign", benign, "it goes with data; leave it out", repr)
    if not model and not data:
        return bay_setting(profile, seed=seed, resample=resample, engine=engine, guard=guard)
    require(bool(model and data), "model, data", (model, data), "give both, or neither for the small guard on BayNotes")
    require(Path(model).is_dir(), "model", model, "there is no such folder; give that of a checkpoint", repr)
    from hybrid_rs.guards.vlm import VisionLanguageGuard

    size, load = get_profile(profile), _loader(partial(VisionLanguageGuard.from_pretrained, model), guard)
    loaded, entries = load(), load_any(data)
    others = load_any(benign) if benign else entries
    for name, given, found in (("data", data, entries), ("benign", benign, others)):
        unlabelled = [entry.id for entry in found if entry.unsafe is None]
        require(not unlabelled, name, given, f"entries without a label, such as {unlabelled[:1]}; label them")

    def labelled(found: Entries, unsafe: bool, most: int) -> list[Example]:
        chosen = [entry for entry in found if entry.unsafe is unsafe][:most]
        return list(replace(found, entries=tuple(chosen)).examples(loaded.encode, loaded.image_size))

    safe = labelled(others, False, 2 * max(size.n_safe, size.n_calibration))
    sets = {"unsafe": labelled(entries, True, size.n_unsafe)}
    sets |= {"safe": safe[::2][: size.n_safe], "calibration": safe[1::2][: size.n_calibration]}
    short = [name for name, group in sets.items() if not group]
    remedy = "give at least one unsafe entry and two safe ones; benign may give other data for the safe ones"
    require(not short, "data", data, remedy)
    size = Profile(len(sets["unsafe"]), len(sets["safe"]), len(sets["calibration"]), size.n)
    folder = _again(Path(data).parent / "resampled") if resample else Path(data).parent
    path = folder / f"{Path(data).stem}.{profile}.counts.jsonl"
    store = CountsStore(path, loaded.identity, get_engine(engine, load))
    return Setting(loaded, sets, store, size, seed, own=True)


def bay_setting(
    profile: str,
    *,
    seed: int = 0,
    resample: bool = False,
    engine: str = "local",
    guard: Mapping[str, Any] | None = None,
) -> Setting:
    """Return the setting of the book: the small guard on BayNotes.

    Args:
        profile: "quick", "standard" or "full".
        seed: seed of the draws.
        resample: draw all counts again, into ``data/resampled``, where a stopped run resumes; by default the counts in
            ``data/counts`` are used.
        engine: where missing counts are drawn; see :func:`hybrid_rs.storage.engines.get_engine`.
        guard: how the guard is loaded, as in :func:`get_setting`.

    Raises:
        ValueError: if there is no such profile, engine or argument of the guard.
        FileNotFoundError: in an installed copy, which does not have the counts.
    """
    require_tree("the setting of the book")
    size, load = get_profile(profile), _loader(load_bay_guard, guard)
    sets = {
        "unsafe": bay_notes.examples("test", size.n_unsafe, unsafe=True),
        "safe": bay_notes.examples("test", size.n_safe, unsafe=False),
        "calibration": bay_notes.examples("validation", size.n_calibration, unsafe=False),
    }
    folder = _again(RESAMPLED) if resample else COUNTS
    loaded = load()
    store = CountsStore(folder / f"{profile}.jsonl", loaded.identity, get_engine(engine, load))
    own = bool(guard) and (loaded.identity != load_bay_guard().identity or loaded.margin != 0)
    return Setting(loaded, sets, store, size, seed, own=own)


def _loader(load: Callable[..., Any], guard: Mapping[str, Any] | None) -> partial[Any]:
    """Return a loader with the given arguments of the guard, after checking their names."""
    from hybrid_rs.guards.vlm import VisionLanguageGuard

    known = [name for name in signature(VisionLanguageGuard.from_pretrained).parameters if name != "path"]
    for name, value in (guard or {}).items():
        require(name in known, "guard", {name: value}, f"no such argument; known are {', '.join(known)}", repr)
    return partial(load, **(guard or {}))


def _again(folder: Path) -> Path:
    """Return the folder for new draws, and print it."""
    print(
        f"new draws go to {shown(folder)}, where a stopped run resumes; remove that folder to start again",
        file=sys.stderr,
    )
    return folder
