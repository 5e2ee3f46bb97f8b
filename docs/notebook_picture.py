"""Draws docs/pictures/notebook-*.png: a notebook of examples/, run, and laid out as Jupyter lays it out."""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

FOLDER = Path(__file__).parent
SCHEMES = {  # paper, ink, a cell's ground and its edge, and the colours of code
    "light": ("#fff", "#1d1c24", "#f6f6f8", "#dddbe4", "xcode"),
    "dark": ("#121117", "#eceaf2", "#1e1d25", "#3a3844", "one-dark"),
}


def page_of(cells: list[nbformat.NotebookNode], scheme: str) -> str:
    """Cells with their outputs, as HTML."""
    paper, ink, box, line, style = SCHEMES[scheme]
    formatter = HtmlFormatter(style=style, nobackground=True)
    parts = []
    for cell in cells:
        if cell.cell_type == "markdown":
            parts.append(f'<div class="cell"><i></i><div class="text">{MarkdownIt().render(cell.source)}</div></div>')
            continue
        code = highlight(cell.source, PythonLexer(), formatter)
        parts.append(f'<div class="cell"><i>[{cell.execution_count}]:</i><div class="code">{code}</div></div>')
        for output in cell.outputs:
            data = output.get("data", {})
            plain = html.escape(data.get("text/plain") or output.get("text", ""))
            parts.append(f'<div class="cell"><i></i><div>{data.get("text/html") or f"<pre>{plain}</pre>"}</div></div>')
    return f"""<!doctype html><meta charset="utf-8"><style>{formatter.get_style_defs(".code")}
body{{margin:24px;background:{paper};color:{ink};font:15px/1.6 "Noto Sans CJK KR",sans-serif}}
.cell{{display:grid;grid-template-columns:3.5em minmax(0,1fr);gap:.5em;margin:.35em 0}}
.cell i{{font:13px/1.9 monospace;text-align:right;opacity:.6}}
.code{{background:{box};border:1px solid {line};border-radius:4px;padding:.5em .75em}}
.text h1,.text h2,.text p{{margin:.3em 0}}.text h1{{font-size:1.7em}}.text h2{{font-size:1.3em}}
pre{{margin:0;font:13px/1.5 "Noto Sans Mono CJK KR",monospace;white-space:pre-wrap}}.pixie{{margin:.4rem 0!important}}
</style>{"".join(parts)}"""


def main() -> None:
    notebook = nbformat.read(FOLDER.parent / "examples/explanations.ipynb", as_version=4)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, resources={"metadata": {"path": folder}}).execute()
    runs = {"light": notebook.cells[:4], "dark": notebook.cells[9:13]}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme, cells in runs.items():
            page = browser.new_page(viewport={"width": 900, "height": 400}, color_scheme=scheme)
            page.set_content(page_of(cells, scheme))
            page.screenshot(path=FOLDER / f"pictures/notebook-{scheme}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
