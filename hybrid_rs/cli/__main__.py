"""``python -m hybrid_rs.cli``."""

from hybrid_rs.cli import main

main()
