"""Explained results as HTML: marks, bars, folds, colours that can be read, and strings that mean harm."""

from __future__ import annotations

import html
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from explanations import explanation_of
from hypothesis import example, given
from hypothesis import strategies as st

import pixie_retrievers
from pixie_retrievers.render import UNSEEN, to_html
from pixie_retrievers.render.style import DARK, LIGHT, STYLE
from pixie_retrievers.types import (
    Comparison,
    Document,
    RaisedBy,
    SearchResult,
    TextExplanation,
    TextToken,
    TokenContribution,
    TokenDifference,
    WhyNot,
)

TEXT = "정찰 및 감시 목적의 위성 영상을 통해 국방 관련 정밀 분석 서비스를 제공합니다."


def token(surface, contribution=1.0, *, query=True, document=True):
    return TokenContribution(surface, surface, 0, contribution, 1.0, contribution, query, document)


def result(text=TEXT, *tokens, id="telepix-2", residual=0.0, n_others=0, read=None, raised_by=None, **metadata):
    explanation = explanation_of(
        tokens, residual=residual, n_others=n_others, text=text, read=read, raised_by=raised_by
    )
    return SearchResult(Document(id, text, metadata), explanation.score, explanation)


def marks(*arguments, **options):
    return re.findall('<mark class="(.*?)">(.*?)</mark>', to_html(result(*arguments, **options)))


def test_what_stands_in_the_text_is_marked_by_its_strength():
    found = marks(TEXT, token("위성", 4.0), token("국방", 1.0), token("정밀", 0.1), token("분석", document=False))
    assert found == [("literal s4", "위성"), ("literal s2", "국방"), ("literal s1", "정밀")]


def test_what_raised_a_token_is_marked_in_another_way():
    raised = {0: RaisedBy(0, 1.0, "위성", (12, 14))}
    assert marks(TEXT, token("궤도", document=False), raised_by=raised) == [("raised s4", "위성")]
    assert "<td>query ← 위성</td>" in to_html(result(TEXT, token("궤도", document=False), raised_by=raised))
    styles = dict(re.findall(r"mark\.(literal|raised)\{(.*?)\}", STYLE))
    assert "border-bottom:2px solid" in styles["literal"]
    assert "wavy" in styles["raised"]


def test_what_the_model_does_not_read_is_dimmed_and_said():
    content = to_html(result(TEXT, token("위성"), read=(0, 13)))
    assert f'<span class="unread">{TEXT[13:]}</span>' in content
    assert f"not read by the model: {len(TEXT) - 13} of {len(TEXT)} characters" in content


def test_a_long_text_is_folded_around_its_strongest_passage():
    text = "처음이다. " + "채우는 말이다. " * 200 + "여기에 위성이 있다. " + "채우는 말이다. " * 200
    folded, whole = to_html(result(text, token("위성"))).split("<details")
    assert "여기에 <mark" in folded
    assert "처음이다" not in folded
    assert "처음이다" in whole
    assert f"all of {len(text) - 1:,} characters" in whole
    longest = to_html(result(text * 100, token("위성")))
    assert f"the first 20,000 of {100 * len(text) - 1:,} characters" in longest
    assert len(longest) < 100_000


def test_paper_says_how_many_tokens_are_left_out_and_offers_nothing_to_open():
    many = TextExplanation(
        "가", "query", None, tuple(TextToken("가", "가", n, 1.0, True, ()) for n in range(25)), (0, 1)
    )
    folded = to_html(result("위성 " * 300, token("위성"))) + to_html(many)
    assert re.findall(r"<details(.*?)><summary>(\+ 5 others|all)", folded) == [
        (' class="all"', "all"),
        ("", "+ 5 others"),
    ]
    paper = STYLE.partition("@media print")[2]
    assert re.findall(r"\n([^{}\n]*)\{display:none\}", paper) == [".pixie .all summary"]


@pytest.mark.parametrize(
    ("query", "document", "place"),
    [(True, True, "query + text"), (True, False, "query"), (False, True, "text"), (False, False, "expansion")],
)
def test_a_row_says_where_a_token_is_found(query, document, place):
    assert f"<td>{place}</td>" in to_html(result(TEXT, token("위성", query=query, document=document)))


def test_bars_are_proportional():
    content = to_html(result(TEXT, token("국방", 4.0), token("위성", 1.0)))
    assert re.findall(r"width:([\d.]+)%\"", content) == ["100.0", "25.0"]
    both = to_html([result(TEXT, token("국방", 4.0)), result(TEXT, token("위성", 1.0))])
    assert re.findall(r"width:([\d.]+)%\"", both) == ["100.0", "25.0"]
    assert both.count("<style>") == 1
    assert "<strong>2. telepix-2</strong>" in both


def test_what_is_not_shown_is_summed_up():
    assert "<td>+ 7 others</td>" in to_html(result(TEXT, token("위성", 2.0), residual=0.25, n_others=7))
    assert "other" not in to_html(result(TEXT, token("위성"))).replace(STYLE, "")


def test_a_hit_without_an_explanation_and_one_of_nothing_and_no_hit_say_so():
    hit = to_html(SearchResult(Document("1", TEXT), 1.5, None))
    assert "<table" not in hit
    assert "score 1.50" in hit
    assert "No token in common" in to_html(SearchResult(Document("1", TEXT), 0.0, explanation_of([])))
    assert "No document shares a token" in to_html([])


def test_an_id_without_a_title_is_said_once():
    assert to_html(result(TEXT, id="only-id")).count("only-id") == 1
    assert to_html(result(TEXT, id="the-id", title="제목")).count("the-id") == 1
    assert "<strong>2. 제목</strong>" in to_html(result(TEXT, title="제목"), rank=2)


def told():
    raised = RaisedBy(3, 1.0, "위성", (0, 2))
    tokens = (
        TextToken("위성", "위성", 2, 2.0, True, ((0, 2),)),
        TextToken("궤도", "궤도", 3, 1.0, False, (), raised),
        *(TextToken(f"t{n}", f"t{n}", n, 0.5, False) for n in range(10, 40)),
    )
    return TextExplanation("위성을 본다", "document", "id-1", tokens, (0, 3))


def comparison():
    tokens = (TokenDifference("위성", "위성", 1, 3.0, 1.0), TokenDifference("국방", "국방", 2, 0.0, 1.0))
    return Comparison("위성", result(TEXT, token("위성", 3.0)), result(TEXT, token("국방", 2.0), id="b"), tokens)


def test_what_a_model_made_of_a_text_is_shown_with_where_it_comes_from():
    content = to_html(told())
    assert '<mark class="literal raised s4">위성</mark>' in content
    assert "<td>in the text</td>" in content
    assert "<td>← 위성</td>" in content
    assert "<summary>+ 12 others</summary>" in content
    assert "No token" in to_html(TextExplanation("", "query", None, (), None))


def test_a_comparison_shows_both_sides_and_the_sum():
    content = to_html(comparison())
    assert '<td class="n">+2.00</td>' in content
    assert '<td class="n">−1.00</td>' in content
    assert '<tr class="sum"><td>together</td>' in content
    assert content.count('class="bar less"') == content.count('class="bar more"') == 1


def test_why_a_document_is_not_found_is_said_and_compared():
    unread = (TextToken("위성", "위성", 1, 2.0, True, ((9, 11),)),)
    content = to_html(WhyNot("q", "b", 1, "ranked lower", 2, 1.0, 3.0, comparison(), True, unread))
    assert "rank 2, score 1.00" in content
    assert "in the part that is not read: 위성 2.00" in content
    assert "together" in content


@pytest.mark.parametrize(
    "value", [result(TEXT, token("위성")), result().explanation, told(), comparison(), WhyNot("q", "b", 1, "not there")]
)
def test_a_notebook_shows_values_as_they_are_drawn(value):
    assert value._repr_html_() == pixie_retrievers.to_html(value)
    parsed = Parsed(value._repr_html_())
    assert parsed.open == []


# Colours


def luminance(colour):
    channels = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_told_apart_as_the_guidelines_ask(colours):
    """WCAG 2.2, AA: 4.5 for text (1.4.3), 3 for what is drawn (1.4.11)."""
    for paper in ("paper", "mark1", "mark2", "mark3", "mark4"):
        assert contrast(colours["ink"], colours[paper]) >= 4.5
    assert contrast(colours["quiet"], colours["paper"]) >= 4.5
    for drawn in ("under", "raised", "both", "query", "text", "expansion", "less"):
        assert contrast(colours[drawn], colours["paper"]) >= 3


def test_there_is_a_style_for_light_for_dark_and_for_paper_and_it_reaches_nothing_else():
    assert "prefers-color-scheme:dark" in STYLE
    assert "@media print" in STYLE
    assert "url(" not in STYLE
    assert "Noto Sans KR" in STYLE
    rules = re.sub(r"@media[^{]*\{", "", STYLE.replace("\n", ""))
    assert all(
        part.strip().startswith(".pixie") for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.split(",")
    )


# Strings that mean harm

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "[bold]x[/]",
            "\x1b[31mred\x1b[0m",
            "\r\n\b\x00\x7f",
            "\u202eabc\u2066",
            "a\u200bb\u200cc\u200dd\ufeffe\u2060f\u00adg",
            "<script>alert(1)</script>",
            "</td></tr></table>",
            "</style></section><script>",
            "\"'><img src=x onerror=y>",
            "<!-- -->",
            "&lt;&amp;&#60;",
            "위성<b>국방</b>",
        ]
    ),
)


class Parsed(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, content):
        super().__init__(convert_charrefs=True)
        self.tags, self.data, self.strange, self.open = set(), [], [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add((tag, tuple(name for name, _ in attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            assert data == STYLE
        else:
            self.data.append(data)

    def handle_comment(self, data):
        self.strange.append(data)

    handle_decl = unknown_decl = handle_pi = handle_comment


def seen(text):
    """What a person sees of a string: its words, and a mark for each character that must not act."""
    return "".join("\N{REPLACEMENT CHARACTER}" if ord(c) in UNSEEN else c for c in " ".join(text.split()))


ALLOWED = {("section", ("lang", "class")), ("mark", ("class",)), ("div", ("class", "style"))}
ALLOWED |= {
    (tag, ()) for tag in ("style", "strong", "small", "p", "table", "tr", "th", "td", "span", "details", "summary")
}
ALLOWED |= {(tag, ("class",)) for tag in ("div", "span", "p", "tr", "th", "td")}


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
@example("<b>위성", "<i>", "위성", "<s>", "<p>")
def test_html_holds_no_tag_but_its_own_and_every_string_as_text(text, id, surface, key, value):
    tokens = (token(surface, 2.0), token(surface, 1.0, document=False))
    raised = {1: RaisedBy(1, 1.0, value, (0, min(2, len(text))))}
    hit = result(text, *tokens, id=id, residual=0.5, n_others=1, raised_by=raised, **{"title": value, key: value})
    alone = TextToken(surface, surface, 1, 1.0, False, (), RaisedBy(1, 1.0, value, None))
    compared = Comparison(value, hit, hit, (TokenDifference(surface, surface, 1, 1.0, 0.5),))
    for shown in (
        hit,
        TextExplanation(text, "document", id, (alone,), (0, len(text) // 2)),
        compared,
        WhyNot(value, id, 1, "ranked lower", 2, 1.0, 2.0, compared, True, (alone,)),
    ):
        content = to_html(shown)
        parsed = Parsed(content)
        assert parsed.open == []
        assert parsed.strange == []
        assert parsed.tags <= ALLOWED
        assert not [c for c in content if unicodedata.category(c) == "Cc" and c != "\n"]
    visible = "".join(Parsed(to_html(hit)).data)
    assert seen(id) in visible or not str(hit.document.metadata["title"]).strip()
    assert seen(str(hit.document.metadata["title"])) in visible
    assert seen(surface) in visible


def test_html_escapes_quotes_too():
    assert html.escape("\"'<>&") in to_html(result("\"'<>&", id="x"))
