"""Explanations as HTML hold the listed tags and attributes, whatever stands in tokens, ids, texts and metadata."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
from explanations import explanation_of
from figures import TOKENS, holds

from pixie_retrievers.render import to_html
from pixie_retrievers.render.style import STYLE
from pixie_retrievers.types import Document, RaisedBy, SearchResult, TokenContribution

ALLOWED = {
    "section": {"lang", "class"},
    "div": {"class", "style"},
    **{key: {"class"} for key in ("span", "mark", "td", "th", "tr", "p")},
    **{key: set() for key in ("style", "strong", "small", "table", "details", "summary")},
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table></section><iframe>",
    "<!--",
    "-->",
    "<![CDATA[",
    "&lt;b&gt;",
    "&#x3c;b&#x3e;",
    "javascript:alert(1)",
    "</style><style>*{background:url(x)}",
    "\0<\0b\0>",
    "<mark onclick=x>",
    "＜script＞",
    "\u202e<b>\u202c",
    "]]>",
    "<?xml ?>",
    "<svg/onload=alert(1)>",
    "`${alert(1)}`",
    "한국<b>어</b>",
]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.problems = []
        self.in_style = False

    def handle_starttag(self, tag, attrs):
        extra = {name for name, _ in attrs} - ALLOWED.get(tag, set())
        if tag not in ALLOWED or extra:
            self.problems.append((tag, attrs))
        for name, value in attrs:
            if name == "style" and not re.fullmatch(r"width:\d+\.\d%", value):
                self.problems.append((name, value))
            if name == "class" and not re.fullmatch(r"[a-z1-4 ]+", value):
                self.problems.append((name, value))
        self.in_style = tag == "style"

    def handle_endtag(self, tag):
        self.in_style = False

    def handle_comment(self, data):
        self.problems.append(("comment", data))

    def handle_decl(self, decl):
        self.problems.append(("declaration", decl))

    def unknown_decl(self, data):
        self.problems.append(("declaration", data))

    def handle_pi(self, data):
        self.problems.append(("instruction", data))

    def handle_data(self, data):
        if self.in_style and data != STYLE:
            self.problems.append(("style", data))


@holds(TOKENS)
def test_only_the_listed_tags_and_attributes_come_out():
    rng = np.random.default_rng(10)

    def nasty():
        parts = [HOSTILE[i] for i in rng.integers(0, len(HOSTILE), int(rng.integers(1, 4)))]
        if rng.integers(3) == 0:
            parts.append("".join(chr(c) for c in rng.integers(0, 0x3000, 8)))
        return "".join(parts)

    for number in range(TOKENS.n // 5):
        text = nasty() + " 글 " + nasty()
        tokens = [text[: int(rng.integers(1, 9))], nasty(), nasty()]
        contributions = [
            TokenContribution(token, token, number, 1.0, 1.0, 1.0, bool(rng.integers(2)), bool(rng.integers(2)))
            for number, token in enumerate(tokens)
        ]
        raised = {number: RaisedBy(number, 1.0, nasty(), (0, 1)) for number in range(3)}
        explanation = explanation_of(contributions, residual=1.0, n_others=1, text=text, raised_by=raised)
        document = Document(nasty(), text, {"title": nasty(), nasty(): nasty(), "n": [nasty()]})
        parser = Tags()
        parser.feed(to_html(SearchResult(document, 4.0, explanation), rank=number))
        parser.close()
        assert parser.problems == [], document
