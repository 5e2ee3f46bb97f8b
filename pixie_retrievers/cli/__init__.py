"""The `pixie` command: ``pixie --help``, or ``python -m pixie_retrievers.cli --help``."""

from __future__ import annotations

import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    from pixie_retrievers.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show Korean shows question marks
            stream.reconfigure(errors="replace")
    app(prog_name="pixie")
