"""Accuracies of the small guard: clean, noisy, and from each modality alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hybrid_rs._checks import integer
from hybrid_rs._extras import needs
from hybrid_rs._files import strict_json, write_whole
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.threats import L0Threat, SuffixThreat, Threat
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.small_guard.language import FAMILIES, VOCABULARY, Language, alphabet, encode
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

BETA = 0.25
SIGMAS = (0.5, 1.0)
DRAWS = 16  # of noise, for each example


def evaluate_bay_guard(checkpoint: Path, *, n: int = 1000, seed: int = 1) -> dict[str, Any]:
    """Measure the guard on test digits; write evaluation.json and the model card next to the weights.

    Args:
        checkpoint: the guard's folder.
        n: examples per language.
        seed: which sequence of test examples.

    Returns:
        the figures, as written.
    """
    guard, n = load_bay_guard(checkpoint), integer("n", n, at_least=10)
    figures: dict[str, Any] = {"n": n, "seed": seed, "beta": BETA, "draws": DRAWS, "accuracy": {}}
    languages: tuple[Language, ...] = ("seen", "unseen")
    for language in languages:
        examples = bay_notes.examples("test", n, seed=seed, language=language)
        figures["accuracy"][language] = {"clean": _clean(guard, examples)}
        for sigma in SIGMAS:
            threats: dict[str, Threat] = {"suffix": SuffixThreat(8), "l0": L0Threat(8)}
            for name, threat in threats.items():
                key = f"sigma {sigma:g}, {name} noise"
                figures["accuracy"][language][key] = _noisy(guard, examples, sigma, threat)
    figures["one modality alone"] = _unimodal(guard, n, seed)
    card = model_card(figures, json.loads((checkpoint / "training.json").read_text()))
    write_whole("checkpoint", checkpoint / "evaluation.json", strict_json(figures, indent=2) + "\n")
    write_whole("checkpoint", checkpoint / "README.md", card)
    return figures


def _rates(unsafe: np.ndarray, examples: list[Example]) -> dict[str, float]:
    """Return the rates from the share of unsafe verdicts of each example."""
    truth = np.array([bool(example.unsafe) for example in examples])
    return {
        "accuracy": float(np.where(truth, unsafe, 1 - unsafe).mean()),
        "false alarms": float(unsafe[~truth].mean()),
        "misses": float(1 - unsafe[truth].mean()),
    }


def _clean(guard: VisionLanguageGuard, examples: list[Example]) -> dict[str, float]:
    verdicts = [guard.unsafe(example.token_ids[None], example.image[None])[0] for example in examples]
    return _rates(np.array(verdicts), examples)


def _noisy(guard: VisionLanguageGuard, examples: list[Example], sigma: float, threat: Threat) -> dict[str, float]:
    """Return the rates of single draws of noise."""
    smoothed = SmoothedGuard(guard, UniformKernel(BETA, guard.alphabet.size), sigma, threat)
    bar = tqdm(examples, desc=f"sigma {sigma:g}", leave=False)
    return _rates(np.array([smoothed.sample(example, DRAWS).unsafe[-1] / DRAWS for example in bar]), examples)


def _unimodal(guard: VisionLanguageGuard, n: int, seed: int) -> dict[str, float]:
    """Return accuracies with one modality hidden from the guard, and of logistic regressions that see only one."""
    train, test = bay_notes.examples("train", 4 * n, seed=seed), bay_notes.examples("test", n, seed=seed)
    goods = encode(" ".join(cue for cues in FAMILIES.values() for cue in cues))
    neutral = VOCABULARY.index("things") if "things" in VOCABULARY else guard.pad_id
    blank = np.full(bay_notes.IMAGE_SHAPE, 0.93, dtype=np.float32)
    no_image = [dataclasses.replace(example, image=blank) for example in test]
    no_goods = [
        dataclasses.replace(example, token_ids=np.where(np.isin(example.token_ids, goods), neutral, example.token_ids))
        for example in test
    ]

    with needs("data"):
        from sklearn.linear_model import LogisticRegression

    def regression(features: Any) -> float:
        labels = [[example.unsafe for example in examples] for examples in (train, test)]
        model = LogisticRegression(max_iter=2000).fit(features(train), labels[0])
        return float(model.score(features(test), labels[1]))

    def pixels(examples: list[Example]) -> np.ndarray:
        return np.stack([example.image.ravel() for example in examples])

    def words(examples: list[Example]) -> np.ndarray:
        return np.stack([np.bincount(example.token_ids, minlength=alphabet()[-1] + 1) for example in examples])

    return {
        "guard, image blank": _clean(guard, no_image)["accuracy"],
        "guard, goods words removed": _clean(guard, no_goods)["accuracy"],
        "logistic regression on pixels": regression(pixels),
        "logistic regression on words": regression(words),
    }


def model_card(figures: dict[str, Any], training: dict[str, Any]) -> str:
    """Render the model card from the figures of an evaluation and the record of a training run."""
    rows = [
        f"| {language} | {setting} | {rates['accuracy']:.1%} | {rates['false alarms']:.1%} | {rates['misses']:.1%} |"
        for language, settings in figures["accuracy"].items()
        for setting, rates in settings.items()
    ]
    alone = [f"| {name} | {accuracy:.1%} |" for name, accuracy in figures["one modality alone"].items()]
    return "\n".join(
        [
            "# Model card: the small guard",
            "",
            "A LLaVA-architecture model (CLIP vision tower 48 x 2, Llama 64 x 3) of"
            f" {training['parameters']:,} parameters, trained from scratch on",
            "BayNotes to answer `safe` or `unsafe`: first the vision tower alone, to read digits, then the whole.",
            "Scans of the training split were tilted, slanted and stretched a little. The guard exists to be",
            "smoothed, certified and attacked in this book; it is not a safety filter for anything else.",
            "",
            f"Made by `{training['command']}` in {training['seconds']:.0f} s ({training['threads']} CPU threads,"
            f" torch {training['versions']['torch']},",
            f"transformers {training['versions']['transformers']}). The same command on the same machine and versions"
            " gives the same weights.",
            "",
            "## Accuracy",
            "",
            f"Test digits, {figures['n']} examples per language; with noise (beta = {figures['beta']}), the mean over"
            f" {figures['draws']} single draws of each.",
            "*Suffix noise* touches the 8 pads after the text, *l0 noise* every word. *Unseen* language: templates",
            "that training never used, and cue words whose family training taught in glossary sentences but never used",
            "in a note with a verdict. False alarms are safe examples called unsafe, misses unsafe ones called safe.",
            "",
            "| language | noise | accuracy | false alarms | misses |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## One modality alone",
            "",
            "The relation between bays and families is balanced, so either modality alone allows exactly 50 %.",
            "",
            "| what sees one modality | accuracy |",
            "|---|---|",
            *alone,
            "",
            "All figures of this card come from `evaluation.json` and `training.json` in the same folder",
            "(`hybrid-rs train` writes all three).",
            "",
        ]
    )
