"""The `coopdraw` command. Commands and what they need are imported when they are used."""

from __future__ import annotations

from coopdraw.exporter.cli.app import app


def main() -> None:
    """Entry point of the `coopdraw` script; exits with 0 (done), 1 (a check failed) or 2 (bad input)."""
    app(prog_name="coopdraw")
