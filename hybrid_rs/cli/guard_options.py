"""The options about the guard, its prompt and how it runs, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hybrid_rs.cli.options import GUARD

Model = Annotated[
    str | None,
    typer.Option(
        help="Folder of a Hugging Face checkpoint; bay_guard: the small guard; with --download also a name on the hub.",
        rich_help_panel=GUARD,
    ),
]
OwnGuard = Annotated[
    str | None,
    typer.Option(
        "--guard",
        metavar="MODULE:NAME",
        help="A guard in Python, in place of --model: a function or class that makes it, such as my_guard:make.",
        rich_help_panel=GUARD,
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Address of an OpenAI-compatible server that runs the guard, in place of --model, such as "
        "http://localhost:8000/v1. It must list log-probabilities, as vLLM does.",
        rich_help_panel=GUARD,
    ),
]
Served = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --endpoint: name of the served model.", rich_help_panel=GUARD)
]
ServedVersion = Annotated[
    str,
    typer.Option(
        help="With --endpoint: any text; change it when the server's weights or software change. Counts are stored "
        "under it.",
        rich_help_panel=GUARD,
    ),
]
TokenizerOption = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        help="With --endpoint: folder of the tokenizer whose tokens are noised; by default a token is a character.",
        rich_help_panel=GUARD,
    ),
]
Requests = Annotated[
    int, typer.Option(min=1, max=1024, help="With --endpoint: requests at the same time.", rich_help_panel=GUARD)
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        max=100,
        help="With --endpoint: further tries of a request after a fault that may pass.",
        rich_help_panel=GUARD,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        help="With --endpoint: seconds without a byte from the server after which a try has failed.",
        rich_help_panel=GUARD,
    ),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, mps; auto: over all cards, by accelerate.", rich_help_panel=GUARD)
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"], typer.Option(help="Precision of the weights.", rich_help_panel=GUARD)
]
Bits = Annotated[
    Literal["8", "4"] | None,
    typer.Option(
        help="Load linear layers in 8 or 4 bits with bitsandbytes; this is another classifier.", rich_help_panel=GUARD
    ),
]
Margin = Annotated[
    float,
    typer.Option(
        help="By how many logits unsafe must beat safe; a larger margin gives fewer false alarms.",
        rich_help_panel=GUARD,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        min=1, max=2**20, help="Texts in one forward pass; halved when memory runs out.", rich_help_panel=GUARD
    ),
]
Policy = Annotated[
    Path | None,
    typer.Option(
        help="File with the guard's policy, which goes before the untrusted text, in the same turn.",
        rich_help_panel=GUARD,
    ),
]
PresetOption = Annotated[
    Literal["llavaguard", "llama-guard-3-vision", "llama-guard-4", "shieldgemma"] | None,
    typer.Option(
        "--preset",
        help="Use the published prompt of a public guard: words around the text, beginning of the answer, and the "
        "words for safe and unsafe. Options that you give replace those of the preset.",
        rich_help_panel=GUARD,
    ),
]
BeforeText = Annotated[
    str | None,
    typer.Option(
        help="A label or a line directly before the untrusted text, after the policy, such as 'User: '.",
        rich_help_panel=GUARD,
    ),
]
AfterText = Annotated[str | None, typer.Option(help="Text directly after the untrusted text.", rich_help_panel=GUARD)]
ReadsText = Annotated[
    bool | None,
    typer.Option(
        "--read-text/--image-alone",
        help="Whether the prompt contains the untrusted text; in a guard of the image alone no text can be edited.",
        show_default="--read-text",
        rich_help_panel=GUARD,
    ),
]
AnswerPrefix = Annotated[
    str | None,
    typer.Option(
        help="Text that the answer is forced to begin with; the verdict is read after it.", rich_help_panel=GUARD
    ),
]
Answers = Annotated[
    str | None,
    typer.Option(
        metavar="SAFE,UNSAFE",
        help="The words of the guard's answer that mean safe and unsafe, such as No,Yes.",
        show_default="safe,unsafe",
        rich_help_panel=GUARD,
    ),
]
Generate = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=2**15,
        metavar="N",
        help="For guards that reason first: generate up to N tokens, and parse the verdict from them. A draw costs up "
        "to N forward passes.",
        rich_help_panel=GUARD,
    ),
]
Undecided = Annotated[
    Literal["unsafe", "safe"] | None,
    typer.Option(
        help="With --generate or --endpoint: the verdict if an answer has none; a part of the classifier.",
        rich_help_panel=GUARD,
    ),
]
VerdictAfter = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="With --generate: the verdict is the first of the words of --answers after the last TEXT, such as "
        "`</think>`; default: the last of these words.",
        rich_help_panel=GUARD,
    ),
]
AlphabetOption = Annotated[
    Literal["all", "printable"],
    typer.Option(
        "--alphabet",
        help="Tokens that noise may write. all: all but special ones. printable: those that decode to printable text.",
        rich_help_panel=GUARD,
    ),
]
MaxCharacters = Annotated[
    int | None,
    typer.Option(min=1, help="Leave tokens of more characters out of the alphabet.", rich_help_panel=GUARD),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        help="The token that the absorbing kernel writes, such as `<unk>`; default: the tokenizer's own mask.",
        rich_help_panel=GUARD,
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="N|HxW|native",
        help="Side, or height and width, of the images in which noise and budget are measured; native: every image in "
        "its own size. Default: native for families that read any size (without a denoiser), else that of the model.",
        rich_help_panel=GUARD,
    ),
]
Denoiser = Annotated[
    str | None,
    typer.Option(
        help="Folder of a DDPM pipeline that removes noise of level --sigma before the guard sees the image.",
        rich_help_panel=GUARD,
    ),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Download a checkpoint from the hub if it is not on disk.", rich_help_panel=GUARD),
]
