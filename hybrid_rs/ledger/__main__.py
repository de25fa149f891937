"""``python -m hybrid_rs.ledger``: recompute all results and verdicts, and write the ledger."""

import sys

from hybrid_rs.ledger import read_claims, recompute, write_claims


def main() -> None:
    """Write the ledger, and print every claim with a star where something changed."""
    try:
        before = read_claims()
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    after = recompute(before)
    write_claims(after)
    for old, new in zip(before, after, strict=True):
        mark = " " if old == new else "*"
        print(f"{mark} {new.id:20} {new.verdict:20} {new.ours}")


if __name__ == "__main__":
    main()
