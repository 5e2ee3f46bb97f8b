"""How far an encoding is, how fast it goes, and how long it will take: a bar on a terminal, a line in a notebook.

In a notebook it is a display of plain text that is written anew, which every front end has; a bar would need
ipywidgets. Where nobody watches, on a pipe or in a log, there is nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

__all__ = ["progress", "progress_line", "rate_column"]

_BETWEEN_S = 0.2  # two lines in a notebook: each is a message to a browser


@contextmanager
def progress(total: int | None, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts texts as done; what is drawn follows it.

    Args:
        total: How many texts there are; None where nobody knows: then there is no time left to show.
        shown: Draw it at all.
    """
    if shown:
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_jupyter:
            with _in_notebook(total) as advance:
                yield advance
            return
        if console.is_terminal:
            with _on_terminal(total, console) as advance:
                yield advance
            return
    yield lambda _: None


def progress_line(n_done: int, total: int | None, elapsed_s: float) -> str:
    """How far it is, in one line: ``encoding 1,024/3,000 (34%), 512.0 texts/s, 0:00:04 left``."""
    rate = n_done / elapsed_s if elapsed_s > 0 else 0.0
    if total is None or n_done >= total:
        counted, time_ = f"{n_done:,}", timedelta(seconds=round(elapsed_s))
        return f"encoding {counted}, {rate:,.1f} texts/s, {time_}"
    line = f"encoding {n_done:,}/{total:,} ({n_done / total:.0%})"
    return f"{line}, {rate:,.1f} texts/s, {timedelta(seconds=round((total - n_done) / rate))} left" if rate else line


@contextmanager
def _in_notebook(total: int | None) -> Iterator[Callable[[int], None]]:
    from IPython import display

    show: Any = display.display  # not typed
    start = drawn = time.monotonic()
    n_done = 0

    def plain() -> dict[str, str]:
        return {"text/plain": progress_line(n_done, total, time.monotonic() - start)}

    handle = show(plain(), raw=True, display_id=True)

    def advance(n: int) -> None:
        nonlocal n_done, drawn
        n_done += n
        if time.monotonic() - drawn >= _BETWEEN_S:
            drawn = time.monotonic()
            handle.update(plain(), raw=True)

    try:
        yield advance
    finally:
        handle.update(plain(), raw=True)


@contextmanager
def _on_terminal(total: int | None, console: Console) -> Iterator[Callable[[int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("encoding"), BarColumn(), MofNCompleteColumn(), rate_column(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("encoding", total=total)
        yield lambda n: bar.advance(task, n)


def rate_column() -> ProgressColumn:
    """Texts a second: rich has such a column only for bars that do not know their end."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f} texts/s")

    return Rate()
