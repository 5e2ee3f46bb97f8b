"""Draws docs/demo.svg: what `pixie demo` prints for one question. Run it again when the look or the model changes."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from pixie_retrievers import PixieEncoder, SparseRetriever
from pixie_retrievers.cli.corpus import passages
from pixie_retrievers.render import LEGEND, results_view

QUESTION = "거래하던 은행이 망하면 맡긴 돈을 얼마까지 돌려받나요?"


def _with_cells(text: re.Match[str]) -> str:
    """Give a text the width of its cells: rich counts characters, and a Korean one takes two cells."""
    content = html.unescape(text[3])
    width = float(text[1]) / max(1, len(content)) * cell_len(content)
    return f'textLength="{width:.1f}"{text[2]}>{text[3]}<'


def main() -> None:
    with SparseRetriever.open(encoder=PixieEncoder.bundled()) as retriever:
        retriever.add(passages())
        results = retriever.search(QUESTION, k=2, top_k_tokens=6)
    console = Console(record=True, width=96, file=io.StringIO())
    console.print(Text(f"? {QUESTION}", style="bold"))
    console.print(results_view(results, max_characters=240))
    console.print(Text(LEGEND, style="dim"))
    svg = console.export_svg(title="pixie demo", theme=MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # a picture fetches nothing
    svg = re.sub(r'textLength="([\d.]+)"([^>]*)>([^<]*)<', _with_cells, svg)
    Path(__file__).with_name("demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
