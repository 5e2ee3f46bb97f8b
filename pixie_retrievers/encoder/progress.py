"""A progress bar on standard error that knows rate and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

__all__ = ["progress", "rate_column"]


@contextmanager
def progress(total: int | None, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts texts as done; a bar follows it.

    Args:
        total: How many texts there are; None where nobody knows: then there is no time left to show.
        shown: Draw it at all.
    """
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("encoding"),
        BarColumn(),
        MofNCompleteColumn(),
        rate_column(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
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
