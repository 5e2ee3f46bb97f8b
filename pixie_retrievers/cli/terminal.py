"""Where output goes: results to stdout, everything said along the way to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from pixie_retrievers.encoder.progress import rate_column
from pixie_retrievers.render import UNSEEN

__all__ = ["counted", "file_size", "notes", "one_line", "output", "print_json", "progress_bar"]

_NARROWEST = 60  # below it a table of tokens is not a table any more


class _Console(Console):
    """A console on which what others wrote does nothing: names of files and models can be anybody's too."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else text.translate(_VISIBLE), style, control)


def output() -> Console:
    """Results. A pipe has no width of its own: 80 columns, unless COLUMNS says otherwise."""
    console = _Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.file = cast("TextIO", _Trimmed(sys.stdout))
    console.width = max(console.width, _NARROWEST)
    return console


def notes() -> Console:
    """Progress, warnings, and all else that no program reads."""
    return _Console(stderr=True, highlight=False, emoji=False)


class _Trimmed:
    """A stream without the spaces that tables end their lines with: nobody wants them in a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_VISIBLE = dict.fromkeys(UNSEEN - {ord("\n")}, "\N{REPLACEMENT CHARACTER}")
_ESCAPED = {code: json.dumps(chr(code)).strip('"') for code in UNSEEN if code >= 0x80}  # json escapes the others itself
_ESCAPED[0x7F] = "\\u007f"


def print_json(value: Any) -> None:
    """One JSON document on stdout, Korean as Korean, and nothing in it that a terminal would obey, or not show."""
    holds_korean = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    typer.echo(json.dumps(value, ensure_ascii=not holds_korean, indent=2).translate(_ESCAPED))


def progress_bar(console: Console) -> Progress:
    """A bar that is gone when its work is done; on anything but a terminal it is never drawn."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        rate_column(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def one_line(error: BaseException | str) -> str:
    """An error's message, whatever line breaks and control characters it holds."""
    line = " ".join(str(error).split()).translate(_VISIBLE)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def counted(n: int, noun: str) -> str:
    """As a person writes it: 1 document, 1,024 documents."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def file_size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
