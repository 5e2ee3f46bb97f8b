"""What the site has beside the pages of this folder: the project's files that pages point to, each as a page."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path

from griffe import Extension
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(
    path.relative_to(ROOT).as_posix() for kind in ("*.py", "*.ipynb") for path in ROOT.glob(f"examples/**/{kind}")
)
# Where in the project a page's text is, and where in the site its page.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    ".github/SECURITY.md": "security.md",
    ".github/CODE_OF_CONDUCT.md": "conduct.md",
    ".github/workflows/tests.yml": "workflow.md",
    "pixie_retrievers/encoder/nano/README.md": "bundled-model.md",
    "examples/training/README.md": "examples/training/index.md",
    "examples": "examples/index.md",
    **{path: f"{path.rpartition('.')[0]}.md" for path in EXAMPLES},
}
SOURCES = {page: path for path, page in PAGES.items()}

ROLE = re.compile(r":(?:class|func|meth|mod):`~?(?:[\w.]+\.)?(\w+)`")
# What a browser fetches by itself; a link that says which page comes next, or is the same elsewhere, is not fetched.
FROM_ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|link(?![^>]*rel=["']?(?:canonical|prev|next|alternate)))\b"""
    r"""[^>]*\s(?:src|href)=["']?(?:https?:)?//[^>]*>"""
)


class Docstrings(Extension):
    """Docstrings as mkdocstrings reads them: their roles as code, their example as code too."""

    def on_object(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value).replace("Example:\n", "Examples:\n")


def on_files(files, config):
    for path, page in PAGES.items():
        files.append(File.generated(config, page, content=_text_of(path)))


def on_page_markdown(markdown, page, config, files):
    """Links lead from where the text lies in the project; here they lead from where its page lies in the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(here, f"docs/{here}"))

    def moved(link):
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        there = PAGES.get(target) or target.removeprefix("docs/")
        return f"]({posixpath.relpath(there, posixpath.dirname(here) or '.')}"

    return re.sub(r"\]\((?![a-z]+:|#)([^)#\s]+)", moved, markdown)


def on_post_page(output, page, config):
    if found := FROM_ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output.replace('<html lang="en"', '<html lang="ko"', 1) if page.file.src_uri.startswith("ko/") else output


def _text_of(path):
    if path == "examples":
        return "# Examples\n\n" + "".join(f"- [{example}]({example})\n" for example in EXAMPLES)
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".ipynb"):
        cells = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in json.loads(text)["cells"]]
        return "\n\n".join(f"```python\n{source}\n```" if is_code else source for source, is_code in cells)
    return text if path.endswith(".md") else f"# {path}\n\n```{path.rpartition('.')[2]}\n{text}```\n"
