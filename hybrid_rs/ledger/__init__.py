"""The ledger of claims: what the paper says, what was found here, and which rule gave the verdict.

``data/claims.json`` holds every claim with the paper's value, our value and the verdict. Our value and the verdict are
always computed: each claim has a *check*, a function of the package's mathematics or of stored results, and
:func:`recompute` runs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_rs._checks import require
from hybrid_rs._files import write_whole
from hybrid_rs.checkout import TREE, require_tree
from hybrid_rs.ledger.finding import VERDICTS, Finding

if TYPE_CHECKING:
    import pandas as pd

CLAIMS = TREE / "data" / "claims.json"

__all__ = [
    "CLAIMS",
    "VERDICTS",
    "Claim",
    "Finding",
    "all_checks",
    "read_claims",
    "recompute",
    "to_frame",
    "write_claims",
]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, or one of our statements, and its verdict.

    Args:
        id: its name, which is also that of its check.
        source: the place in the paper; "ours" if the claim is not the paper's.
        claim: the claim.
        paper: the paper's value as text; empty if it is not a number.
        why: the explanation of a difference, or why the claim cannot be tested here.
        notebook: the page that derives or measures it, a path below ``notebooks/``.
        tests: its tests, by their pytest names.
        ours: our result.
        verdict: one of ``VERDICTS``; "shown" for our own statements.
    """

    id: str
    source: str
    claim: str
    paper: str
    why: str
    notebook: str
    tests: tuple[str, ...]
    ours: str = ""
    verdict: str = ""


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """Return the claims of a ledger, in its order.

    Raises:
        ValueError: if two claims share a name.
        FileNotFoundError: for the package's own ledger, in an installed copy.
    """
    if path == CLAIMS:
        require_tree("the ledger")
    claims = [Claim(**entry | {"tests": tuple(entry["tests"])}) for entry in json.loads(path.read_text())]
    names = [claim.id for claim in claims]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, "id", twice, f"give each claim of {path.name} its own name")
    return claims


def all_checks() -> dict[str, Callable[[], Finding]]:
    """Return the check of every claim, by the claim's name."""
    from hybrid_rs.ledger.comparisons import COMPARISONS
    from hybrid_rs.ledger.extensions import EXTENSIONS
    from hybrid_rs.ledger.results import RESULTS
    from hybrid_rs.ledger.theory import THEORY
    from hybrid_rs.ledger.together import TOGETHER

    return THEORY | EXTENSIONS | TOGETHER | RESULTS | COMPARISONS


def recompute(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims with our results and verdicts recomputed, from the mathematics and the stored results.

    Computations of a few seconds are repeated. Results that take longer are read from the stores; a missing one
    is an error.

    Raises:
        ValueError: if a claim has no check.
    """
    checks, found = all_checks(), []
    for claim in claims:
        require(claim.id in checks, "id", claim.id, f"no check of this name; known are {', '.join(checks)}", repr)
        finding = checks[claim.id]()
        found.append(replace(claim, ours=finding.ours, verdict=finding.verdict))
    return found


def write_claims(claims: Iterable[Claim], path: Path = CLAIMS) -> None:
    """Write a ledger."""
    write_whole("path", path, json.dumps([asdict(claim) for claim in claims], indent=1, ensure_ascii=False) + "\n")


def to_frame(claims: Iterable[Claim]) -> pd.DataFrame:
    """Return the claims as a table, one row each."""
    import pandas as pd

    return pd.DataFrame([asdict(claim) for claim in claims])
