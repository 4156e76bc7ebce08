"""`python -m uplift.cli`."""

from uplift.cli import main

main()
