"""The `pixie` command: ``pixie --help``, or ``python -m pixie_retrievers.cli --help``."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Threads of a model that wait for each other sleep: awake, they take the cores from whatever else runs there, and
    # on a busy machine from each other. To be said before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pixie_retrievers.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show Korean shows question marks
            stream.reconfigure(errors="replace")
    app(prog_name="pixie")
