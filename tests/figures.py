"""How often the reliability tests do what they do: a few times in a plain run, many times in a soak.

``PIXIE_SOAK=1`` switches every figure from its first value to its second, and prints a table at the end. The numbers
are those of docs/reliability.md. ``PIXIE_QUICK=1`` makes do with a tenth of the first, as ``make unit`` does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

SOAK = os.environ.get("PIXIE_SOAK", "") not in ("", "0")
QUICK = os.environ.get("PIXIE_QUICK", "") not in ("", "0")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a test holds to.

    Attributes:
        test: Its number in docs/reliability.md.
        what: What is counted.
        plain: How many in a plain run.
        soak: How many in a soak.
    """

    test: int
    what: str
    plain: int
    soak: int

    @property
    def n(self) -> int:
        """How many in this run."""
        if SOAK:
            return self.soak
        return -(-self.plain // 10) if QUICK else self.plain


KILLS = Figure(1, "kill -9 at random points", 30, 500)
CREATION_KILLS = Figure(1, "kill -9 while a file is made", 10, 100)
FAILURES = Figure(2, "rounds of failing each store call in turn", 1, 3)
SIZE_LIMITS = Figure(4, "size limits on the file", 20, 100)
SMALL_DISKS = Figure(4, "small file systems", 3, 20)
READER_SECONDS = Figure(6, "seconds of 8 readers and a writer", 10, 60)
THREAD_QUERIES = Figure(7, "queries of each of 32 threads", 200, 1000)
FORKS = Figure(8, "forked children", 50, 200)
FLIPS = Figure(9, "flipped bytes", 200, 5_000)
TRUNCATIONS = Figure(9, "truncated files", 100, 500)
POSTINGS = Figure(10, "malformed arrays under valid checksums", 1_000, 20_000)
BOUNDS = Figure(10, "malformed segments under NUMBA_BOUNDSCHECK", 100, 2_000)
ROWS = Figure(10, "files of hostile rows under valid checksums", 2_000, 50_000)
CORPORA = Figure(11, "random corpora against the reference", 500, 10_000)
MACHINES = Figure(12, "state machines", 100, 1_000)
MACHINE_STEPS = Figure(12, "steps of a state machine", 30, 100)
TEXTS = Figure(13, "hostile texts", 1_000, 20_000)
UPSERTS = Figure(14, "upserts of one id", 1_000, 5_000)
FILTERED = Figure(15, "histories of documents and filters against plain Python", 150, 3_000)
INTERRUPTS = Figure(19, "interrupts of each kind of work", 60, 1_000)
TOKENS = Figure(18, "hostile tokens, ids and metadata as HTML", 5_000, 20_000)


def holds(*figures: Figure) -> Callable[[Any], Any]:
    """Say which figures a test holds to, for the table."""

    def mark(function: Any) -> Any:
        function.figures = figures
        return function

    return mark


_rows: list[tuple[tuple[Figure, ...], str, str, float]] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    outcome = yield
    figures = getattr(getattr(item, "function", None), "figures", None)
    report = outcome.get_result()
    if figures is not None and (call.when == "call" or report.outcome != "passed"):
        _rows.append((figures, item.name, report.outcome, call.duration))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not SOAK or not _rows:
        return
    table = Table(title="What was held, and for how long")
    for name in ("test", "figure", "name", "result"):
        table.add_column(name)
    table.add_column("seconds", justify="right")
    for figures, name, outcome, seconds in sorted(_rows, key=lambda row: (row[0][0].test, row[1])):
        numbers = ", ".join(dict.fromkeys(str(figure.test) for figure in figures))
        held = "; ".join(f"{figure.n:,} {figure.what}" for figure in figures if figure.n)
        table.add_row(numbers, held, name, outcome, f"{seconds:.1f}")
    terminalreporter.ensure_newline()
    Console(file=terminalreporter._tw._file, width=160).print(table)
