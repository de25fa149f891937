"""Training of the small guard, from scratch, with the noise that smoothing will add."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from tqdm import trange

from hybrid_rs._checks import integer
from hybrid_rs._extras import needs
from hybrid_rs._files import strict_json, write_whole
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import new_model, new_processor
from hybrid_rs.small_guard.language import FAMILIES, VOCABULARY, alphabet, encode, write_glossary, write_note

with needs("guard"):
    import torch
    from torch import nn

PEAK = 3e-3  # of the learning rate
LOOKS = 2  # steps in which the vision tower learns to read digits, for each later step of the whole
TILT = 0.12  # radians to either side: training tilts, slants and stretches each scan
SLANT = 0.12
STRETCH = 0.1
SLOT = 8  # pads of the suffix threat; a training prompt has 0 to 16, most often these
IGNORE = -100  # PyTorch's label for "no loss"
THREADS = 2  # a run is reproducible bit for bit only with the same number of threads


class _Batches:
    """An endless, seeded stream of noisy training prompts."""

    def __init__(self, seed: int, before: NDArray[np.int64], after: NDArray[np.int64]) -> None:
        self.rng = np.random.default_rng(seed)
        self.before, self.after = before, after
        self.scans = bay_notes.scans("train")
        self.families = tuple(FAMILIES)
        self.alphabet = alphabet()
        self.pad = VOCABULARY.index(",")
        self.answers = VOCABULARY.index("safe"), VOCABULARY.index("unsafe")

    def draw(self, size: int, noise: float) -> dict[str, NDArray[np.generic]]:
        """Return one batch; ``noise`` from 0 to 1 scales the strength of both noises."""
        rows, images, labels = [], [], []
        for _ in range(size):
            bay, family = self._bay(), int(self.rng.integers(len(self.families)))
            # glossary sentences teach the families of held-out cue words, and have no verdict
            glossary = self.rng.random() < 0.25
            write = write_glossary(self.rng, self.families[family]) if glossary else self._note(family)
            answer = IGNORE if glossary else self.answers[bay_notes.forbidden(bay, family)]
            text = self._noised(encode(write), noise)
            rows.append(np.concatenate([self.before, text, self.after]))
            images.append(self._picture(bay, noise))
            labels.append((answer, bay, family))
        last = np.array([len(row) - 1 for row in rows])
        ids = np.zeros(
            (size, last.max() + 1), dtype=np.int64
        )  # padded on the right, which causal attention does not see
        for row, into in zip(rows, ids, strict=True):
            into[: len(row)] = row
        return {"ids": ids, "images": np.stack(images), "last": last, "labels": np.array(labels)}

    def look(self, size: int, noise: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return noisy pictures, and the digits that they show."""
        bays = [self._bay() for _ in range(size)]
        return np.stack([self._picture(bay, noise) for bay in bays]), np.array(bays)

    def _bay(self) -> int:
        return int(self.rng.integers(bay_notes.BAYS))

    def _picture(self, bay: int, noise: float) -> NDArray[np.float32]:
        """Draw one of a digit's scans, a little tilted, slanted and stretched, with noise of up to 1.1 ``noise``."""
        ink = bay_notes.enlarged(self.rng.choice(self.scans[bay]))
        tilt, slant = self.rng.uniform(-TILT, TILT), self.rng.uniform(-SLANT, SLANT)
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        shape = np.array([[1, 0], [slant, 1]]) @ np.diag(1 + self.rng.uniform(-STRETCH, STRETCH, size=2)) @ turn
        middle = np.array([(side - 1) / 2 for side in ink.shape])
        ink = affine_transform(ink, shape, offset=middle - shape @ middle, order=1)
        image = bay_notes.draw_ink(self.rng, ink)
        sigma = np.float32(noise * self.rng.uniform(0, 1.1))
        return image + sigma * self.rng.standard_normal(image.shape, dtype=np.float32)

    def _note(self, family: int) -> str:
        return write_note(self.rng, self.families[family], "seen")

    def _noised(self, text: NDArray[np.int64], noise: float) -> NDArray[np.int64]:
        """Append pads, then replace words: in the slot at any rate, or in the whole text at a rate of up to 1/2."""
        pads = SLOT if self.rng.random() < 0.6 else int(self.rng.integers(0, 2 * SLOT + 1))
        tokens = np.append(text, np.full(pads, self.pad))
        whole = self.rng.random() < 0.45
        kernel = UniformKernel(noise * self.rng.uniform(0, 0.5 if whole else 1.0), self.alphabet.size)
        where = slice(0 if whole else len(text), None)
        places = np.searchsorted(self.alphabet, tokens[where])
        tokens[where] = self.alphabet[kernel.sample(places, 1, self.rng)[0]]
        return tokens


def train_bay_guard(
    out: Path, *, steps: int = 4000, batch_size: int = 128, seed: int = 0, device: str = "cpu", progress: bool = True
) -> Path:
    """Train the small guard and write its checkpoint, in the Hugging Face layout, with a record of the run.

    First the vision tower alone learns to read digits, in twice as many steps, which are cheap. Then the whole model
    learns. Its loss is the cross-entropy of the answer word, plus those of the bay and of the family, which two linear
    heads predict from the last prompt token. All heads are dropped afterwards; without them, training makes no progress
    for a thousand steps.

    Args:
        out: the folder to write; made if it is missing.
        steps: optimiser steps of the whole model.
        batch_size: prompts per step.
        seed: seed of weights and data; the same seed, device and versions give the same weights.
        device: "cpu" or "cuda".
        progress: show a bar on stderr.

    Returns:
        the folder.

    Raises:
        ValueError: if steps or batch_size is not a whole number of at least 1.
    """
    steps, batch_size = integer("steps", steps, at_least=1), integer("batch_size", batch_size, at_least=1)
    seed = integer("seed", seed, at_least=0)
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(THREADS)
    out.mkdir(parents=True, exist_ok=True)
    model = new_model(seed).to(device)
    new_processor().save_pretrained(out)
    model.save_pretrained(out)
    prompt = VisionLanguageGuard.from_pretrained(out)  # the prompt of the finished guard
    batches = _Batches(seed, prompt.before, prompt.after)
    tower, width = model.model.vision_tower, model.config.text_config.hidden_size
    reader = nn.Sequential(
        nn.Linear(model.config.vision_config.hidden_size, width), nn.GELU(), nn.Linear(width, bay_notes.BAYS)
    ).to(device)
    heads = nn.ModuleDict({"bay": nn.Linear(width, bay_notes.BAYS), "family": nn.Linear(width, len(FAMILIES))})
    heads = heads.to(device)

    def looking(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
        images, digits = (torch.from_numpy(a).to(device) for a in batches.look(batch_size, noise))
        seen = tower(pixel_values=(images - 0.5) / 0.5).last_hidden_state[:, 1:].mean(dim=1)
        loss = nn.functional.cross_entropy(reader(seen), digits)
        return loss, loss

    def answering(noise: float) -> tuple[torch.Tensor, torch.Tensor]:
        batch = {name: torch.from_numpy(a).to(device) for name, a in batches.draw(batch_size, noise).items()}
        pixels = (batch["images"] - 0.5) / 0.5
        hidden = model.model(input_ids=batch["ids"], pixel_values=pixels).last_hidden_state
        read = hidden[torch.arange(batch_size, device=device), batch["last"]]
        answer, bay, family = batch["labels"].T
        asked = (answer != IGNORE).sum().clamp(min=1)  # a small batch may hold glossary sentences alone
        loss = nn.functional.cross_entropy(model.lm_head(read), answer, ignore_index=IGNORE, reduction="sum") / asked
        auxiliary = nn.functional.cross_entropy(heads["bay"](read), bay)
        auxiliary = auxiliary + nn.functional.cross_entropy(heads["family"](read), family)
        return loss + 0.5 * auxiliary, loss

    eyes = list(tower.parameters())
    known = {id(weight) for weight in eyes}
    rest = [weight for weight in model.parameters() if id(weight) not in known]
    _optimise("looking", looking, [([*eyes, *reader.parameters()], PEAK)], LOOKS * steps, progress)
    groups = [(eyes, PEAK / 6), ([*rest, *heads.parameters()], PEAK)]
    losses = _optimise("answering", answering, groups, steps, progress)
    model.save_pretrained(out)
    torch.set_num_threads(threads)
    every = max(1, steps // 30)
    record = {
        "command": f"hybrid-rs train --steps {steps} --batch-size {batch_size} --seed {seed} --device {device}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": THREADS,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "numpy")},
        "answer_loss": [round(float(np.mean(losses[i : i + every])), 4) for i in range(0, steps, every)],
    }
    write_whole("out", out / "training.json", strict_json(record, indent=2) + "\n")
    return out


def _optimise(
    name: str,
    losses: Callable[[float], tuple[torch.Tensor, torch.Tensor]],
    groups: list[tuple[list[nn.Parameter], float]],
    steps: int,
    progress: bool,
) -> list[float]:
    """Minimise the first of the losses at rising noise; each group of weights has its own peak of the learning rate.

    Returns the second loss of every step.
    """
    weights, peaks = [group for group, _ in groups], [peak for _, peak in groups]
    optimiser = torch.optim.AdamW([{"params": group} for group in weights], lr=PEAK, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=peaks, total_steps=steps + 1, pct_start=0.05)
    told = []
    for step in (bar := trange(steps, desc=name, disable=not progress)):
        loss, shown = losses(min(1.0, 3 * (step + 1) / steps))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([weight for group in weights for weight in group], 1.0)
        optimiser.step()
        schedule.step()
        told.append(shown.item())
        if step % 20 == 0:
            bar.set_postfix(loss=f"{told[-1]:.4f}")
    return told
