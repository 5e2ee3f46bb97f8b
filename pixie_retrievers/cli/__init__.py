"""The `pixie` command: ``pixie --help``, or ``python -m pixie_retrievers.cli --help``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    from pixie_retrievers.cli.app import app

    app(prog_name="pixie")
