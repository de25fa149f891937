"""The options that several commands share, each declared once, and how they reach a command in groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import typer

from hybrid_rs.certificates.kernels import MAX_EDITS
from hybrid_rs.datasets.images import MAX_PIXELS as MAX_PIXELS
from hybrid_rs.decisions.sample_size import MAX_DRAWS as MAX_DRAWS

Layout = Literal["jsonl", "hateful-memes", "mm-safetybench", "hugging-face"]
ThreatName = Literal["suffix", "in-place", "l0", "edit-distance"]
KernelName = Literal["uniform", "absorbing", "deletion"]
EditsName = Literal["all", "insertions", "deletions", "insertions-and-deletions"]
DATA, GUARD, NOISE, DRAWS = "Data", "Guard", "Smoothing and threat", "Draws"

Data = Annotated[
    Path,
    typer.Argument(
        help="A JSONL file or its folder; or the folder of Hateful Memes, MM-SafetyBench (data) or Hugging Face data. "
        'A line of JSONL: {"image": "a.png", "text": "...", "label": 1}; label 1 means unsafe, 0 safe; optional.'
    ),
]
LayoutOption = Annotated[
    Layout | None, typer.Option("--layout", help="The layout of DATA; by default it is detected.", rich_help_panel=DATA)
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Split of Hateful Memes (default dev_seen) or of a Hugging Face DatasetDict.", rich_help_panel=DATA
    ),
]
Kind = Annotated[
    Literal["SD", "SD_TYPO", "TYPO"], typer.Option(help="Kind of images of MM-SafetyBench.", rich_help_panel=DATA)
]
Scenario = Annotated[
    list[str] | None,
    typer.Option(
        "--scenario", help="Scenario of MM-SafetyBench, such as 01-Illegal_Activitiy; repeatable.", rich_help_panel=DATA
    ),
]
Tiny = Annotated[
    bool, typer.Option("--tiny", help="Only the short list of MM-SafetyBench's authors.", rich_help_panel=DATA)
]
InteractionOnly = Annotated[
    bool,
    typer.Option(
        "--interaction-only",
        help="Use only examples that the guard flags, although it flags neither their text with a grey image nor their "
        "image with --neutral-text.",
        rich_help_panel=DATA,
    ),
]
NeutralText = Annotated[str, typer.Option(help="The harmless text of the interaction filter.", rich_help_panel=DATA)]
Field = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        help="Names of fields of JSONL or Hugging Face data: image=NAME, text=NAME, label=NAME, id=NAME; repeatable.",
        rich_help_panel=DATA,
    ),
]
FitOption = Annotated[
    Literal["stretch", "crop", "pad"] | None,
    typer.Option(
        "--fit",
        help="How images of another shape are resized; by default cropped if the checkpoint's processor crops, "
        "otherwise stretched.",
        rich_help_panel=DATA,
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="With images in their own size: shrink an image whose longer side is larger, and keep its shape.",
        rich_help_panel=DATA,
    ),
]
LookOption = Annotated[
    Literal["web", "stock"] | None,
    typer.Option(
        "--look",
        help="web: upright by EXIF, transparent pixels on white; stock: as transformers loads images, transparency "
        "dropped. Default: stock for images in their own size, else web.",
        rich_help_panel=DATA,
    ),
]
OnProblemOption = Annotated[
    Literal["refuse", "skip"],
    typer.Option(
        "--on-problem",
        help="What to do with entries that cannot be used, such as an image that cannot be read, or a text that the "
        "guard cannot encode.",
        rich_help_panel=DATA,
    ),
]
MaxPixels = Annotated[
    int, typer.Option(min=1, help="Largest image that is read, height times width.", rich_help_panel=DATA)
]
Limit = Annotated[
    int | None, typer.Option(min=1, max=2**31, help="Use only this many entries, the first ones.", rich_help_panel=DATA)
]

Sigma = Annotated[
    float, typer.Option(help="Standard deviation of the image noise, pixels in [0, 1].", rich_help_panel=NOISE)
]
NoiseOption = Annotated[
    Literal["float32", "lattice"],
    typer.Option(
        "--noise",
        help="lattice: exact Gaussian noise for 8-bit images, for any guard; float32: floats, for guards that ignore "
        "the last bits.",
        rich_help_panel=NOISE,
    ),
]
Beta = Annotated[float, typer.Option(help="Probability that a token is replaced, or deleted.", rich_help_panel=NOISE)]
KernelOption = Annotated[
    KernelName | None,
    typer.Option(
        "--kernel",
        help="uniform: a replaced token becomes another token of the alphabet; absorbing: it becomes the mask; "
        "deletion: it is deleted. Default: deletion for edit-distance, else uniform.",
        rich_help_panel=NOISE,
    ),
]
ThreatOption = Annotated[
    ThreatName,
    typer.Option(
        "--threat",
        help="suffix: the adversary writes into a slot after the text. in-place: the adversary overwrites the text's "
        "last tokens. l0: the adversary replaces tokens anywhere. edit-distance: the adversary inserts, deletes and "
        "replaces tokens anywhere.",
        rich_help_panel=NOISE,
    ),
]
EditsOption = Annotated[
    EditsName,
    typer.Option("--edits", help="With edit-distance: what one edit may be.", rich_help_panel=NOISE),
]
MaxEdits = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_EDITS,
        help="Largest text budget d; tokens in the suffix. 0: the adversary changes the image alone.",
        show_default="8; 0 if the guard reads no text",
        rich_help_panel=NOISE,
    ),
]
PerD = Annotated[
    bool,
    typer.Option(
        "--per-d",
        help="Suffix: one smoothed classifier for each d, as in the paper; default: one for every d.",
        rich_help_panel=NOISE,
    ),
]
Masked = Annotated[
    bool,
    typer.Option(
        "--masked", help="Certify from draws in which the edited positions are replaced.", rich_help_panel=NOISE
    ),
]
Simultaneous = Annotated[
    bool,
    typer.Option(
        "--simultaneous",
        help="Let the confidence cover all d at once; this changes the result with --per-d or --masked.",
        rich_help_panel=NOISE,
    ),
]
Towards = Annotated[
    Literal["safe", "unsafe"],
    typer.Option(
        "--towards",
        help="The verdict that the adversary wants. safe: something unsafe is missed. unsafe: a false alarm, in an "
        "example that is not labelled unsafe.",
        rich_help_panel=NOISE,
    ),
]
Tau = Annotated[float, typer.Option(help="Decision threshold, fixed before drawing.", rich_help_panel=NOISE)]
TauFrom = Annotated[
    Path | None,
    typer.Option(
        help="File that hybrid-rs calibrate --save wrote: take tau from it, and refuse the draws that chose tau.",
        rich_help_panel=NOISE,
    ),
]
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
    typer.Option(help="File of finished counts; these are not drawn again.", rich_help_panel=DRAWS),
]
EngineOption = Annotated[
    Literal["local", "ray"] | None,
    typer.Option(
        "--engine",
        help="Where draws are made: in this process, or by Ray (default with --workers, --gpus or --address).",
        rich_help_panel=DRAWS,
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Ray workers that draw.", rich_help_panel=DRAWS)]
Gpus = Annotated[
    float | None,
    typer.Option(help="GPUs of each Ray worker: a whole number, or a share such as 0.25.", rich_help_panel=DRAWS),
]
Address = Annotated[
    str | None, typer.Option(help="Address of a running Ray cluster, such as auto.", rich_help_panel=DRAWS)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per example on stdout.")]
Progress = Annotated[bool, typer.Option(help="Show a bar on stderr.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes its options one by one, for typer, and passes them on in groups.

    A group is a parameter whose type is a dataclass. Each of its fields that is annotated as an option becomes an
    option of the command. If two groups have a field of the same name, one option gives its value to both.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Noise:
        ...     sigma: Annotated[float, typer.Option()] = 0.5
        >>> @grouped
        ... def show(noise: Noise, n: int = 1) -> None:
        ...     print(noise, n)
        >>> list(signature(show).parameters)
        ['sigma', 'n']
        >>> show(sigma=0.1, n=2)
        Noise(sigma=0.1) 2
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: _options_of(hint) for name, hint in hints.items() if is_dataclass(hint)}
    taken: dict[str, Parameter] = {}
    for each in signature(command).parameters.values():
        own = {each.name: each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[each.name])}
        taken |= groups.get(each.name, own)

    @wraps(command)
    def run(**given: Any) -> None:
        values: dict[str, Any] = {
            name: hints[name](**{option: given[option] for option in options}) for name, options in groups.items()
        }
        command(**values, **{name: given[name] for name in hints if name in given and name not in groups})

    run.__signature__ = Signature(list(taken.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in taken.items()}
    return run


def _options_of(group: Any) -> dict[str, Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return {
        field.name: Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
        if get_origin(hints[field.name]) is Annotated
    }
