"""The options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hybrid_rs.certificates.kernels import MAX_EDITS
from hybrid_rs.datasets.images import MAX_PIXELS as MAX_PIXELS
from hybrid_rs.decisions.sample_size import MAX_DRAWS as MAX_DRAWS

Layout = Literal["jsonl", "hateful-memes", "mm-safetybench", "hugging-face"]
ThreatName = Literal["suffix", "l0"]
DATA, GUARD, NOISE, DRAWS = "Data", "Guard", "Smoothing and threat", "Draws"

Data = Annotated[
    Path,
    typer.Argument(
        help="A JSONL file or its folder; or the folder of Hateful Memes, MM-SafetyBench (data) or Hugging Face data. "
        'A line of JSONL: {"image": "a.png", "text": "...", "label": 1}; label 1 is unsafe, 0 safe, none not known.'
    ),
]
LayoutOption = Annotated[
    Layout | None, typer.Option("--layout", help="What DATA is; guessed where left out.", rich_help_panel=DATA)
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Split of Hateful Memes (default dev_seen) or of a Hugging Face DatasetDict.", rich_help_panel=DATA
    ),
]
Kind = Annotated[Literal["SD", "SD_TYPO", "TYPO"], typer.Option(help="Images of MM-SafetyBench.", rich_help_panel=DATA)]
Field = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        help="Where JSONL or a Hugging Face data set has what: image=NAME, text=NAME, label=NAME, id=NAME; repeatable.",
        rich_help_panel=DATA,
    ),
]
FitOption = Annotated[
    Literal["stretch", "crop", "pad"],
    typer.Option("--fit", help="How images of another shape are met.", rich_help_panel=DATA),
]
OnProblemOption = Annotated[
    Literal["refuse", "skip"],
    typer.Option("--on-problem", help="What to do with entries that cannot be used.", rich_help_panel=DATA),
]
MaxPixels = Annotated[
    int, typer.Option(min=1, help="Largest image that is read, height times width.", rich_help_panel=DATA)
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take only so many entries, from the beginning.", rich_help_panel=DATA)
]

Model = Annotated[
    str,
    typer.Option(
        help="Folder of a Hugging Face checkpoint; bay_guard: the small guard; with --download also a name on the hub.",
        rich_help_panel=GUARD,
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.", rich_help_panel=GUARD)]
Dtype = Annotated[Literal["float32", "bfloat16"], typer.Option(help="Precision of the weights.", rich_help_panel=GUARD)]
Margin = Annotated[
    float, typer.Option(help="Logits by which unsafe must win; more means fewer false alarms.", rich_help_panel=GUARD)
]
BatchSize = Annotated[
    int,
    typer.Option(min=1, max=2**20, help="Texts in one forward pass; fewer if memory runs out.", rich_help_panel=GUARD),
]
Policy = Annotated[
    Path | None,
    typer.Option(
        help="File whose text goes before the untrusted text, in the same turn: the guard's policy.",
        rich_help_panel=GUARD,
    ),
]
AnswerPrefix = Annotated[
    str,
    typer.Option(help="How the answer is made to begin; the verdict is read after it.", rich_help_panel=GUARD),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=2**13,
        help="Side of the images in which noise and budget are measured; default: what the checkpoint takes.",
        rich_help_panel=GUARD,
    ),
]
Denoiser = Annotated[
    str | None,
    typer.Option(
        help="Folder of a DDPM pipeline that takes noise of --sigma out of the image before the guard sees it.",
        rich_help_panel=GUARD,
    ),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Fetch a checkpoint from the hub if it is not on disk.", rich_help_panel=GUARD),
]

Sigma = Annotated[
    float, typer.Option(help="Standard deviation of the image noise, pixels in [0, 1].", rich_help_panel=NOISE)
]
Beta = Annotated[float, typer.Option(help="Probability that a token is replaced.", rich_help_panel=NOISE)]
ThreatOption = Annotated[
    ThreatName,
    typer.Option(
        "--threat",
        help="suffix: the adversary writes into a slot after the text. l0: replaces tokens anywhere.",
        rich_help_panel=NOISE,
    ),
]
MaxEdits = Annotated[
    int,
    typer.Option(
        min=1, max=MAX_EDITS, help="Largest text budget d; the size of the suffix slot.", rich_help_panel=NOISE
    ),
]
PerD = Annotated[
    bool,
    typer.Option(
        "--per-d",
        help="Suffix: a smoothed classifier for each d, as in the paper; default: one serves every d.",
        rich_help_panel=NOISE,
    ),
]
Masked = Annotated[
    bool,
    typer.Option(
        "--masked", help="Certify from what the guard says when edited positions are replaced.", rich_help_panel=NOISE
    ),
]
Simultaneous = Annotated[
    bool,
    typer.Option(
        "--simultaneous",
        help="Let the confidence cover all d at once, where that costs something: with --per-d or --masked.",
        rich_help_panel=NOISE,
    ),
]
Tau = Annotated[float, typer.Option(help="Decision threshold, fixed before drawing.", rich_help_panel=NOISE)]
Budget = Annotated[int, typer.Option("--d", min=0, max=MAX_EDITS, help="Text budget.", rich_help_panel=NOISE)]
Epsilon = Annotated[
    float, typer.Option(min=0, help="Image budget, l2, pixels in [0, 1] at the guard's size.", rich_help_panel=NOISE)
]

N = Annotated[int, typer.Option("--n", min=1, max=MAX_DRAWS, help="Draws for each example.", rich_help_panel=DRAWS)]
Texts = Annotated[
    int,
    typer.Option(
        min=1, max=2**10, help="Noisy texts for each noisy image; --n then counts images.", rich_help_panel=DRAWS
    ),
]
Alpha = Annotated[float, typer.Option(help="Risk of the confidence bounds.", rich_help_panel=DRAWS)]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the draws.", rich_help_panel=DRAWS)]
Store = Annotated[
    Path,
    typer.Option(help="File of finished counts; what it has is not drawn again.", rich_help_panel=DRAWS),
]
EngineOption = Annotated[
    Literal["local", "ray"] | None,
    typer.Option(
        "--engine",
        help="Where draws are made: in this process, or by Ray (the default with --workers or --address).",
        rich_help_panel=DRAWS,
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Ray workers that draw.", rich_help_panel=DRAWS)]
Address = Annotated[str | None, typer.Option(help="Ray cluster that is running, such as auto.", rich_help_panel=DRAWS)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per example on stdout.")]
Progress = Annotated[bool, typer.Option(help="Show a bar on stderr.")]
