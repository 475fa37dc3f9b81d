"""`python -m rheostat` is the command line."""

from rheostat.cli import main

main()
