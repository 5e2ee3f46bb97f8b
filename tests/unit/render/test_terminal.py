"""Explained results as text: widths, marks, bars, and strings that mean harm."""

from __future__ import annotations

import re
import unicodedata

import pytest
from explanations import explanation_of
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pixie_retrievers.render import largest_contribution, to_text
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


def token(surface, contribution=1.0, *, query=True, document=True, spelling=None, id=0):
    return TokenContribution(
        surface if spelling is None else spelling, surface, id, contribution, 1.0, contribution, query, document
    )


def result(text=TEXT, *tokens, id="telepix-2", residual=0.0, n_others=0, **metadata):
    explanation = explanation_of(tokens, residual=residual, n_others=n_others, text=text)
    return SearchResult(Document(id, text, metadata), explanation.score, explanation)


def row(shown, surface):
    """The line of a token in the table, without its indentation."""
    (line,) = [line for line in shown.splitlines() if re.match(rf" *{re.escape(surface)} +\d", line)]
    return line.strip()


# What a person reads


def test_a_hit_shows_rank_id_score_text_and_tokens():
    shown = to_text([result(TEXT, token("국방", 4.5), token("위성", 2.25))])
    first, second, *_ = shown.splitlines()
    assert first.split() == ["1", "telepix-2", "score", "6.75"]
    assert second.strip().startswith("정찰 및 감시 목적의 위성 영상을")
    assert row(shown, "국방").split() == ["국방", "4.50", "█" * 16, "4.50", "×", "1.00", "query", "+", "text"]


def test_a_title_leads_and_does_not_stand_there_twice():
    shown = to_text(result("국방 위성\n본문이다.", token("위성"), title="국방 위성"))
    assert shown.splitlines()[0].split()[:3] == ["국방", "위성", "telepix-2"]
    assert shown.count("국방 위성") == 1
    assert "본문이다." in shown


def test_a_text_that_is_only_its_title_is_shown():
    assert to_text(result("국방 위성", title="국방 위성")).count("국방 위성") == 2


def test_short_metadata_are_shown_and_long_ones_are_not():
    shown = to_text(result(TEXT, token("위성"), year=2025, field="우주", flag=True, long="x" * 61, list=[1], none=None))
    assert shown.splitlines()[1].strip() == "year: 2025 · field: 우주 · flag: True"


@pytest.mark.parametrize(
    ("query", "document", "place"),
    [(True, True, "query + text"), (True, False, "query"), (False, True, "text"), (False, False, "expansion")],
)
def test_expansions_are_told_from_literal_tokens(query, document, place):
    hit = result(TEXT, token("위성", query=query, document=document))
    assert row(to_text(hit), "위성").endswith(f"1.00  {place}")
    line = to_text(hit, tokens="line").splitlines()[-1].strip()
    assert line == ("위성 1.00" if place == "query + text" else "~위성 1.00")


def test_bars_are_proportional():
    shown = to_text(result(TEXT, token("국방", 4.0), token("위성", 2.0), token("영상", 1.0), token("정밀", 1e-9)))
    bars = {surface: re.search("[▏▎▍▌▋▊▉█]+", row(shown, surface))[0] for surface in ("국방", "위성", "영상", "정밀")}
    assert bars == {"국방": "█" * 16, "위성": "█" * 8, "영상": "█" * 4, "정밀": "▏"}


def test_the_bars_of_all_hits_are_on_one_scale():
    hits = [result(TEXT, token("국방", 4.0)), result(TEXT, token("위성", 1.0))]
    assert largest_contribution(hits) == 4.0
    shown = to_text(hits)
    assert row(shown, "국방").count("█") == 16
    assert row(shown, "위성").count("█") == 4


@pytest.mark.parametrize(("n_others", "words"), [(1, "+ 1 other"), (7, "+ 7 others")])
def test_what_is_not_shown_is_summed_up(n_others, words):
    hit = result(TEXT, token("위성", 2.0), residual=0.25, n_others=n_others)
    assert re.search(rf"{re.escape(words)} +0\.25$", to_text(hit), re.MULTILINE)
    assert to_text(hit, tokens="line").endswith(f"위성 2.00 · {words} 0.25")


def test_nothing_left_out_leaves_no_line():
    hit = result(TEXT, token("위성"))
    assert "other" not in to_text(hit)
    assert not to_text(hit, tokens="line").endswith("·")


def test_only_what_is_left_out_can_be_shown():
    hit = result(TEXT, residual=2.0, n_others=3)
    for shown in (to_text(hit), to_text(hit, tokens="line")):
        assert re.search(r"\+ 3 others +2\.00$", shown)


def test_a_hit_without_an_explanation_renders():
    hit = SearchResult(Document("1", TEXT), 1.5, None)
    assert to_text([hit]).splitlines()[0].split() == ["1", "1", "score", "1.50"]
    assert "query × text" not in to_text(hit)


def test_no_results_say_so():
    assert to_text([]) == "No document shares a token with the query."


def test_an_explanation_of_nothing_says_so():
    nothing = explanation_of([])
    assert to_text(nothing) == "No token in common: the score is 0."
    hit = SearchResult(Document("1", TEXT), 0.0, nothing)
    assert "no token in common" in to_text(hit, tokens="line")


def test_a_small_number_keeps_its_size():
    assert row(to_text(result(TEXT, token("위성", 0.00012))), "위성").split()[1] == "0.0001"


def test_a_long_text_is_cut_to_where_its_tokens_stand():
    text = "처음이다. " + "채우는 말이다. " * 60 + "여기에 위성이 있다. " + "채우는 말이다. " * 60
    cut = to_text(result(text, token("위성")))
    assert "여기에 위성이 있다." in cut
    assert "처음이다" not in cut
    body = " ".join(line.strip() for line in cut.splitlines()[1:-2])
    assert len(body) <= 244
    assert body.startswith("… ")
    assert body.endswith(" …")
    assert "처음이다" in to_text(result(text, token("위성")), max_characters=None)


@given(
    st.lists(st.sampled_from(["위성이 ", "채우는 ", "말이다. ", "길고긴낱말이다 ", "x" * 50]), max_size=60),
    st.integers(60, 240),
)
def test_a_cut_never_loses_the_only_token(words, max_characters):
    text = "".join(words)
    shown = to_text(result(text, token("위성")), max_characters=max_characters)
    assert "위성" not in text or "".join(shown.split()).count("위성") >= 2  # in the text, and in the table


@pytest.mark.parametrize("text", ["위성 " * 100_000, "위성" * 100_000, "위성이다. " * 100_000])
def test_a_text_of_hundreds_of_thousands_of_tokens_is_cut_like_any_other(text):
    shown = to_text(result(text, token("위성")))
    assert shown.count("위성") > 30
    assert len(shown) < 1_000


# Widths

KOREAN = st.text(st.sampled_from("가나다위성국방 ,.()aZ9中あ-\n"), max_size=200)


@given(KOREAN, KOREAN, KOREAN.filter(bool), KOREAN, st.integers(60, 120), st.sampled_from(["table", "line"]))
def test_no_line_is_wider_than_it_may_be(text, title, id, surface, width, tokens):
    hit = result(text, token(surface, 1234.5, document=False), token("위성", 1e-7), id=id, title=title, key=surface)
    for line in to_text([hit, hit], width=width, tokens=tokens).splitlines():
        assert cell_len(line) <= width


def test_korean_takes_two_columns():
    shown = to_text(result("가" * 200, token("위성")), max_characters=None, width=60)
    assert next(line.strip() for line in shown.splitlines() if "가가" in line) == "가" * 28


def test_columns_stand_under_each_other_in_korean_and_latin():
    shown = to_text(result(TEXT, token("위성", 2.0), token("satellite", 2.0)))
    korean, latin = (line for line in shown.splitlines() if "2.00 ×" in line)
    assert cell_len(korean[: korean.index("2.00")]) == cell_len(latin[: latin.index("2.00")])


# Strings that mean harm

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "[bold]x[/]",
            "[/red]",
            "[link=http://x]y[/link]",
            "\x1b[31mred\x1b[0m",
            "\x1b]0;title\x07",
            "\x9b2J",
            "\r\n\b\x00\x7f",
            "\u202eabc\u2066",
            "a\u200bb\u200cc\u200dd\ufeffe\u2060f\u00adg",
            "".join(chr(0xE0000 + ord(c)) for c in "tags"),
            "\u3164\u115f\u1160\uffa0",
            "\ufe00\U000e0100",
            ":smile:",
            "<script>alert(1)</script>",
            "</td></tr></table>",
            "\"'><img src=x onerror=y>",
            "<!-- -->",
            "&lt;&amp;&#60;",
            "위성<b>국방</b>",
        ]
    ),
)


def hostile(text, id, surface, spelling, key, value, *, title=True):
    tokens = (token(surface, 2.0, spelling=spelling), token(surface, 1.0, document=False, spelling=spelling))
    metadata = {key: value, "title": value} if title else {key: value}
    explanation = explanation_of(tokens, residual=0.5, n_others=1, text=text)
    return SearchResult(Document(id, text, metadata), explanation.score, explanation)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_nothing_in_a_document_acts_on_a_terminal(text, id, surface, spelling, key, value):
    hit = hostile(text, id, surface, spelling, key, value)
    for tokens in ("table", "line"):
        shown = to_text([hit], tokens=tokens)
        assert not [c for c in shown if unicodedata.category(c) == "Cc" and c != "\n"]
        assert not re.search(
            "[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u061c\u2060\ufeff\u3164\U000e0000-\U000e01ff]", shown
        )


@pytest.mark.parametrize("markup", ["[bold]x[/]", "[/]", "[link=x]y[/link]", ":smile:", "[red]"])
def test_markup_is_text(markup):
    hit = hostile(f"{markup} 본문", markup, markup, markup, markup, markup, title=False)
    for tokens in ("table", "line"):
        assert to_text(hit, tokens=tokens, width=120).count(markup) == 6
    assert markup in to_text(result(TEXT, title=markup))


# Reasons


def test_what_a_model_made_of_a_text_is_shown_with_where_it_comes_from():
    raised = RaisedBy(3, 1.0, "위성", (0, 2))
    tokens = (
        TextToken("위성", "위성", 2, 2.0, True, ((0, 2),)),
        TextToken("##궤도", "궤도", 3, 1.0, False, (), raised),
        *(TextToken(f"t{n}", f"t{n}", n, 0.5, False) for n in range(10, 40)),
    )
    shown = to_text(TextExplanation("위성을 본다", "document", "id-1", tokens, (0, 3)))
    assert shown.splitlines()[0] == "id-1  32 tokens, 31 of them added by the model"
    assert "not read by the model: 3 of 6 characters" in shown
    assert row(shown, "위성").split() == ["위성", "2.00", "█" * 16, "in", "the", "text"]
    assert row(shown, "궤도").split() == ["궤도", "1.00", "█" * 8, "←", "위성"]
    assert row(shown, "t10").endswith("added")
    assert "+ 12 others" in shown
    assert "No token" in to_text(TextExplanation("", "query", None, (), (0, 0)))


def differences(*values):
    return tuple(TokenDifference(f"t{n}", f"t{n}", n, max(0.0, v), max(0.0, -v)) for n, v in enumerate(values))


def test_a_comparison_shows_what_each_token_adds_to_both_and_the_sum():
    a, b = result(TEXT, token("위성", 3.0), id="first"), result(TEXT, token("위성", 1.0), id="second")
    shown = to_text(Comparison("위성", a, b, differences(3.0, -1.0, 0.0)))
    assert [line.split() for line in shown.splitlines()[:2]] == [
        ["A", "first", "score", "3.00"], ["B", "second", "score", "1.00"]
    ]  # fmt: skip
    assert row(shown, "t0").split()[:4] == ["t0", "3.00", "0.00", "+3.00"]
    assert row(shown, "t1").split()[:4] == ["t1", "0.00", "1.00", "−1.00"]
    assert row(shown, "t2").split() == ["t2", "0.00", "0.00", "0.00"]
    assert shown.splitlines()[-1].split() == ["together", "+2.00"]
    many = to_text(Comparison("위성", a, b, differences(*[1.0] * 22)))
    assert re.search(r"\+ 2 others +\+2\.00$", many, re.MULTILINE)
    assert "Neither shares a token" in to_text(Comparison("위성", a, b, ()))


def test_why_a_document_is_not_found_is_said_in_a_sentence():
    assert to_text(WhyNot("q", "the-id", 3, "not there")) == "the-id\nNo document has this id."
    unread = (TextToken("위성", "위성", 1, 2.0, True, ((9, 11),)),)
    shown = to_text(WhyNot("q", "the-id", 3, "shares no token", score=0.0, cut=True, unread=unread), width=120)
    assert "What the model does not read of its text has 1 more of the query's\ntokens." in shown
    assert "in the part that is not read: 위성 2.00" in shown
    told = WhyNot("q", "b", 1, "ranked lower", 2, 1.0, 3.0, Comparison("q", result(), result(), differences(2.0)))
    assert "rank 2, score 1.00; number 1 scores 3.00, 2.00 more" in to_text(told)
    assert "together" in to_text(told)


def test_what_raised_a_token_stands_beside_it():
    raised = {0: RaisedBy(0, 1.0, "위성", (10, 12))}
    explanation = explanation_of([token("궤도", document=False)], text=TEXT, raised_by=raised)
    hit = SearchResult(Document("1", TEXT), 1.0, explanation)
    assert row(to_text(hit), "궤도").endswith("query ← 위성")
