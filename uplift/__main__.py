"""`python -m uplift`: the commands."""

from uplift.cli import main

main()
