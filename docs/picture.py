"""Draws docs/demo.svg and docs/pictures/terminal.svg: what `pixie` prints. For when the look or the model changes."""

from __future__ import annotations

import html
import io
import re
from itertools import groupby
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.terminal_theme import MONOKAI
from rich.text import Text

from pixie_retrievers import PixieEncoder, SparseRetriever
from pixie_retrievers.cli.corpus import passages
from pixie_retrievers.render import LEGEND, comparison_view, results_view, text_view, why_not_view

QUESTION = "거래하던 은행이 망하면 맡긴 돈을 얼마까지 돌려받나요?"
FOLDER = Path(__file__).parent


def _in_cells(text: re.Match[str]) -> str:
    """A text in as many cells as a terminal gives it: Korean is drawn as wide as its two cells, without gaps."""
    opening, x, middle, length, end, content = text.groups()
    characters = html.unescape(content)
    cell, position, drawn = float(length) / max(1, len(characters)), float(x), []
    for _, run in groupby(characters, key=cell_len):
        part = "".join(run)
        width = cell * cell_len(part)
        stretched = f'x="{position:.1f}"{middle}textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
        drawn.append(f"{opening}{stretched}{end}>{html.escape(part)}</text>")
        position += width
    return "".join(drawn)


def draw(path: Path, title: str, width: int, *shown: RenderableType) -> None:
    """Write a picture of a terminal with these things printed in it."""
    console = Console(record=True, width=width, file=io.StringIO())
    for one in shown:
        console.print(one)
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id=path.stem)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # a picture fetches nothing
    svg = re.sub(r'(<text [^>]*?)x="([\d.]+)"([^>]*?)textLength="([\d.]+)"([^>]*)>([^<]*)</text>', _in_cells, svg)
    path.write_text(svg, encoding="utf-8")


def main() -> None:
    with SparseRetriever.open(encoder=PixieEncoder.bundled()) as retriever:
        retriever.add(passages())
        results = retriever.search(QUESTION, k=2, top_k_tokens=6)
        draw(
            FOLDER / "demo.svg",
            "pixie demo",
            96,
            Text(f"? {QUESTION}", style="bold"),
            results_view(results, max_characters=240),
            Text(LEGEND, style="dim"),
        )
        query = "위성 영상은 어디에 쓰이나요"
        draw(
            FOLDER / "pictures/terminal.svg",
            "pixie",
            92,
            Text(f'$ pixie explain corpus.db "{query}" --raised-by --tokens 8', style="bold"),
            text_view(retriever.explain_query(query, raised_by=True), max_tokens=8),
            Text(),
            Text(f'$ pixie compare corpus.db "{query}" space-006 space-001 --tokens 6', style="bold"),
            comparison_view(retriever.compare(query, "space-006", "space-001"), max_tokens=6),
            Text(),
            Text(f'$ pixie why-not corpus.db "{query}" space-001 -k 3 --tokens 4', style="bold"),
            why_not_view(retriever.why_not(query, "space-001", k=3), max_tokens=4),
        )


if __name__ == "__main__":
    main()
