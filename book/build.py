"""Build the book: run the experiments, build the pages, print them, check their links. ``make book`` calls this.

Nothing stale is shown: an experiment runs again when its notebook, the profile, the package, the data or the lock file
changed, and so does every other notebook of the book. Notebooks are not run again if nothing changed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import chromium
from annotate import annotate
from card import draw_card
from check_html import problems
from figure_sizes import size_figures
from jupyter_cache import get_cache
from jupyter_cache.cache.main import JupyterCacheBase
from jupyter_cache.executors.utils import create_cache_bundle, single_nb_execution
from one_fold import join_folds
from one_page import link_pdf, make_pdf
from prune_styles import prune
from search_from_disk import write_texts
from smaller_files import plain_code, use_palettes
from theme_fixes import lighten, name_buttons, shrink_fonts

from hybrid_rs._files import write_whole
from hybrid_rs.experiments import PROFILES, run_experiments
from hybrid_rs.experiments.kernel import ForkedKernel

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "notebooks" / "experiments"
EXECUTED = ROOT / "book" / "experiments"
BUILT = ROOT / "book" / "_build"
TIMEOUT = 600  # seconds for a cell, as in _config.yml
KERNEL = {"kernel_manager_class": ForkedKernel, "startup_timeout": TIMEOUT}
PIXELS = {"bbox_inches": "tight", "dpi": 220}  # per inch; book/figure_sizes.py shows 92 CSS pixels per inch


def digest(files: Iterable[Path], root: Path = ROOT) -> str:
    """Return a hash of the names and contents of these files."""
    total = sha256()
    for file in sorted(files):
        total.update(str(file.relative_to(root)).encode() + b"\0" + sha256(file.read_bytes()).digest())
    return total.hexdigest()


def inputs(root: Path = ROOT) -> list[Path]:
    """Return the files that a notebook's outputs depend on besides the notebook: package, data and lock file."""
    data = (path for path in (root / "data").rglob("*") if path.is_file())
    return [
        *(root / "hybrid_rs").rglob("*.py"),
        *(root / "hybrid_rs").rglob("*.mplstyle"),
        *data,
        root / "requirements.lock",
    ]


def refresh_experiments(profile: str) -> list[Exception]:
    """Execute the experiment notebooks into ``book/experiments``, except those up to date; return the failures."""
    stamps = EXECUTED / "stamps.json"
    known = json.loads(stamps.read_text()) if stamps.is_file() else {}
    sources = sorted(EXPERIMENTS.glob("*.ipynb"))
    EXECUTED.mkdir(parents=True, exist_ok=True)
    for orphan in {path.name for path in EXECUTED.glob("*.ipynb")} - {source.name for source in sources}:
        (EXECUTED / orphan).unlink()

    def stamp(source: Path) -> str:
        return f"{profile} {digest([source, *inputs()])}"

    def fresh(source: Path) -> bool:
        return (EXECUTED / source.name).is_file() and known.get(source.name) == stamp(source)

    stale = [source.stem for source in sources if not fresh(source)]
    done = [source for source in sources if source.stem not in stale]
    print(f"experiments up to date: {', '.join(source.stem for source in done) or 'none'}", file=sys.stderr)
    failed: list[Exception] = []
    try:
        for name, error in run_experiments(stale, profile=profile, folder=EXECUTED, at_once=os.cpu_count() or 1):
            if error is None:
                done.append(EXPERIMENTS / f"{name}.ipynb")
            else:
                failed.append(error)
    finally:  # taken at the end, since the counts that an experiment has drawn are inputs of its next run
        write_whole("stamps", stamps, json.dumps({source.name: stamp(source) for source in sorted(done)}, indent=1))
    return failed


def drop_stale() -> None:
    """Remove old pages, and the cached outputs of other notebooks if they were computed with another package."""
    shutil.rmtree(BUILT / "html", ignore_errors=True)
    stamp, now = BUILT / "inputs.sha256", digest(inputs())
    if not stamp.is_file() or stamp.read_text() != now:
        shutil.rmtree(BUILT / ".jupyter_cache", ignore_errors=True)
        BUILT.mkdir(parents=True, exist_ok=True)
        stamp.write_text(now)


def sharpen_figures() -> None:
    """Make every kernel that starts from now on draw figures at twice the resolution of a plain screen."""
    profile = BUILT / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(f"c.InlineBackend.print_figure_kwargs = {PIXELS}\n")
    os.environ["IPYTHONDIR"] = str(profile.parent)


def execute_pages() -> None:
    """Run the notebooks that are not experiments, as many at once as there are cores, into Jupyter Book's cache.

    A notebook that fails is not in the cache: Jupyter Book runs it again, and says what is wrong.
    """
    cache = get_cache(BUILT / ".jupyter_cache")
    for source in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if source.parent != EXPERIMENTS and "checkpoint" not in source.name:
            cache.add_nb_to_project(str(source))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # threads suffice: they wait for the kernels
        done = list(pool.map(partial(_execute, cache), [record.pk for record in cache.list_unexecuted()]))
    print(f"notebooks executed: {done.count(True)}; failed: {done.count(False)}", file=sys.stderr)


def _execute(cache: JupyterCacheBase, key: int) -> bool:
    """Run one notebook of the cache in its folder, in a kernel that starts with the imports done; whether it worked."""
    notebook = cache.get_project_notebook(key)
    folder = str(Path(notebook.uri).parent)
    try:
        done = single_nb_execution(notebook.nb, folder, TIMEOUT, False, **KERNEL)
    except RuntimeError as error:  # its kernel died, or did not start
        print(f"{notebook.uri}: {error}", file=sys.stderr)
        return False
    if done.err:
        return False
    bundle = create_cache_bundle(notebook, folder, None, done.time, None)
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    return True


def build_pages() -> int:
    """Run Jupyter Book, with every warning an error; return its exit status."""
    strict = ["-W", "-n", "--keep-going", "--all"]  # --all: a page that is not read again does not repeat its warnings
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command: list[str | Path] = [jupyter_book, "build", ROOT, "--path-output", ROOT / "book", *strict]
    return subprocess.run(command, check=False).returncode


def finish(html: Path) -> list[str]:
    """Add what Jupyter Book does not: provenance, smaller files, a PDF; return what is wrong with the files.

    Args:
        html: the folder of pages as Jupyter Book has built them.
    """
    print(f"figures and tables with their provenance: {annotate(html)}", file=sys.stderr)
    print(f"folds of code joined to the next: {join_folds(html)}", file=sys.stderr)
    print(f"figures shown at their size: {size_figures(html)}", file=sys.stderr)
    name_buttons(html)
    removed = lighten(html) + use_palettes(html) + plain_code(html) + prune(html) + shrink_fonts(html)
    print(f"removed, as no page needs it: {removed / 2**20:.0f} MB", file=sys.stderr)
    print(f"pages that can be searched from disk: {write_texts(html)}", file=sys.stderr)
    if chromium.PROGRAM is None:
        print("no PDF: Chromium is not installed", file=sys.stderr)
        return problems(html)
    print(f"the picture beside links to the book: {draw_card(html)}", file=sys.stderr)
    with ThreadPoolExecutor(1) as pool:
        pdf = pool.submit(make_pdf, html)
        found = problems(html)
        print(f"the book as a PDF: {link_pdf(html, pdf.result())}", file=sys.stderr)
    return found


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Say how many seconds a stage of the build took."""
    start = time.monotonic()
    yield
    print(f"seconds for {stage}: {time.monotonic() - start:.0f}", file=sys.stderr)


def main() -> int:
    """Build the whole book; return 0 if no problem was found."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--profile", choices=PROFILES, default="standard", help="the size of the experiments")
    profile = parser.parse_args().profile
    sharpen_figures()
    try:
        with timed("the experiments"):
            failed = refresh_experiments(profile)
    except ValueError as error:
        failed = [error]
    if failed:
        print("\n".join(f"error: {error}" for error in failed), file=sys.stderr)
        return 1
    drop_stale()
    with timed("the other notebooks"):
        execute_pages()
    with timed("Jupyter Book"):
        status = build_pages()
    if status:
        print("error: Jupyter Book failed, or warned: see above", file=sys.stderr)
        return status
    with timed("what comes after it"):
        found = finish(BUILT / "html")
    print("\n".join(f"error: {problem}" for problem in found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
