"""`python -m coopdraw.exporter` is the command line, too."""

from coopdraw.exporter.cli import main

main()
