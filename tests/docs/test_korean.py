"""The Korean pages say what the English ones say: the same headings, and the same code but for its comments."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAIRS = {path: DOCS / path.name for path in sorted((DOCS / "ko").glob("*.md"))} | {
    DOCS / "ko/README.md": DOCS.parent / "README.md"
}
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def headings(page):
    return [len(marks) for marks in re.findall(r"^(#+) ", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)]


def without_comments(language, code):
    if language == "python":
        tokens = tokenize.generate_tokens(io.StringIO(code).readline)
        return [(token.type, token.string) for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL)]
    return [line.rstrip() for line in re.sub(r"(^|[ \t]+)#.*$", "", code, flags=re.MULTILINE).splitlines()]


def blocks(page):
    return [(language, without_comments(language, code)) for language, code in FENCED.findall(page.read_text("utf-8"))]


@pytest.mark.parametrize("korean", PAIRS, ids=lambda page: page.name)
def test_a_korean_page_is_in_step_with_the_english_one(korean):
    english = PAIRS[korean]
    assert headings(korean) == headings(english)
    assert blocks(korean) == blocks(english)


def test_what_newcomers_read_is_there_in_korean():
    assert {"README.md", "quickstart.md", "langchain.md", "llama-index.md", "explanations.md"} <= {
        page.name for page in PAIRS
    }
    assert "(docs/ko/README.md)" in (DOCS.parent / "README.md").read_text("utf-8").partition("##")[0]
    assert "(../../README.md)" in (DOCS / "ko/README.md").read_text("utf-8").partition("##")[0]
