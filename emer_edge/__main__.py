"""`python -m emer_edge` is `emer-edge`."""

from emer_edge.cli import main

main()
