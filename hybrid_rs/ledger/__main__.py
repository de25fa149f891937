"""``python -m hybrid_rs.ledger``: find ours and every verdict again, and write the ledger."""

from hybrid_rs.ledger import read_claims, recompute, write_claims

if __name__ == "__main__":
    before = read_claims()
    after = recompute(before)
    write_claims(after)
    for old, new in zip(before, after, strict=True):
        mark = " " if old == new else "*"
        print(f"{mark} {new.id:20} {new.verdict:20} {new.ours}")
