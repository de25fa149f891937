"""The status page: what each page was computed with and from which counts, as its line of provenance says."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MARK, PLACE = "Provenance.", "pages-run"
TEXT = """# Status

What this copy of the book was computed with. Each notebook ends with a line of provenance; the tables below collect
these lines when the book is built.

## Pages

```{pages-run}
```

## Counts

Draws are the only expensive data. They are stored in the repository, one JSON object a line, and every table is
computed from them again; `data/counts/README.md` explains the fields. *Last changed* is the commit that last changed
the file.

"""


def page(root: Path) -> str:
    """Return the page, with the table of stored counts of a repository; the other table is filled in later.

    Args:
        root: of the repository.
    """
    rows = ["| file | lines | draws | last changed |", "|---|---:|---:|---|"]
    for file in sorted((root / "data").rglob("*.jsonl")):
        if not file.name.endswith(".local.jsonl") and "resampled" not in file.parts:
            lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            draws = f"{sum(line['n'] for line in lines):,}" if all("n" in line for line in lines) else ""
            name = file.relative_to(root).as_posix()
            rows.append(f"| `{name}` | {len(lines):,} | {draws} | {_last_change(root, name)} |")
    return TEXT + "\n".join(rows) + "\n"


def _last_change(root: Path, name: str) -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    whole = git("rev-parse", "--is-shallow-repository") == "false"
    return (git("log", "-1", "--format=%h of %cs", "--", name) if whole else "") or "unknown"


@dataclass(frozen=True)
class Run:
    """What a line of provenance says.

    Args:
        commit: with ", modified" if the tree differed from it.
        packages: the versions of Python and of the packages.
        device: the processor.
        seconds: the wall time.
        counts: the files of counts.
    """

    commit: str
    packages: str
    device: str
    seconds: int
    counts: tuple[str, ...] = ()


def parsed(text: str) -> Run:
    """Read a line of provenance, without its marks of Markdown.

    Raises:
        ValueError: if it is not such a line.

    Example:
        >>> parsed("Provenance. commit 6d0acc3 · n = 5 · Python 3.11.7, numpy 2.4.6 · a CPU, 2 cores · 9 s").seconds
        9
    """
    pattern = (
        rf"{re.escape(MARK)} commit (?P<commit>[^·]+?) ·.*?(?P<packages>Python [^·]+?) · (?P<device>[^·]+?) · "
        r"(?P<seconds>\d+) s(?: · counts: (?P<counts>[^·]+?))?(?: ·.*)?"
    )
    found = re.fullmatch(pattern, " ".join(text.split()))
    if found is None:
        raise ValueError(f"text = {text!r}: give a line that hybrid_rs.experiments.provenance made")
    counts = tuple(found["counts"].split(", ")) if found["counts"] else ()
    return Run(found["commit"], found["packages"], found["device"], int(found["seconds"]), counts)


class PagesRun(SphinxDirective):
    """The directive that stands for the table of pages."""

    def run(self) -> list[nodes.Node]:
        """Leave a mark: the other pages may not have been read yet."""
        return [nodes.container(classes=[PLACE])]


def last_run(doctree: Any) -> Run | None:
    """Return what the last line of provenance of a page says; None if it has none."""
    lines = [p.astext() for p in doctree.findall(nodes.paragraph) if p.astext().startswith(MARK)]
    return parsed(lines[-1]) if lines else None


def table(runs: Iterable[tuple[str, str, Run]]) -> str:
    """Return the tables of pages as HTML.

    Args:
        runs: for each page its link, its title as HTML, and what its provenance says.
    """
    runs = list(runs)
    places = Counter((run.packages, run.device) for _, _, run in runs)
    named = {place: i for i, (place, _) in enumerate(places.most_common(), start=1)}
    rows = [["page", "seconds", "commit", "counts", "machine"]]
    for link, title, run in runs:
        files = "<br>".join(f"<code>{html.escape(name)}</code>" for name in run.counts)
        where = str(named[run.packages, run.device])
        rows.append(
            [f'<a href="{html.escape(link)}">{title}</a>', str(run.seconds), html.escape(run.commit), files, where]
        )
    head, *body = [
        "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in row) + "</tr>"
        for row, tag in zip(rows, ["th", *["td"] * len(runs)], strict=True)
    ]
    seconds = sum(run.seconds for _, _, run in runs)
    machines = [
        f"<li>{html.escape(device)}: {html.escape(packages)} ({times} pages)</li>"
        for (packages, device), times in places.most_common()
    ]
    return (
        f"<p>{len(runs)} pages were computed, in {seconds / 60:.0f} minutes all together, on these machines:</p>"
        f'<ol>{"".join(machines)}</ol><div class="cell_output" tabindex="0"><table class="table dataframe">'
        f"<thead>{head}</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def fill(app: Sphinx, doctree: Any, name: str) -> None:
    """Put the table in its place, now that every page has been read; an event of Sphinx."""
    places = [node for node in doctree.findall(nodes.container) if PLACE in node["classes"]]
    if places:
        made = nodes.raw("", table(_runs(app, name)), format="html")
        for place in places:
            place.replace_self(made.deepcopy())


def _runs(app: Sphinx, here: str) -> Iterator[tuple[str, str, Run]]:
    builder: Any = app.builder
    for name in _in_order(app.env.toctree_includes, app.config.root_doc):
        if run := last_run(app.env.get_doctree(name)):
            title = builder.render_partial(app.env.titles[name])["title"]
            yield builder.get_relative_uri(here, name), title, run


def _in_order(included: dict[str, list[str]], name: str) -> Iterator[str]:
    """Yield a page and all pages below it, in the order of the table of contents."""
    yield name
    for below in included.get(name, []):
        yield from _in_order(included, below)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and the event that fills it."""
    app.add_directive(PLACE, PagesRun)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
