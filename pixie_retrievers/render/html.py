"""Results and reasons as HTML: one self-contained piece, no script, every string escaped."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar

from pixie_retrievers.render.marks import MarkedText, Piece
from pixie_retrievers.render.style import STYLE
from pixie_retrievers.render.words import (
    details_of,
    found_in,
    found_words,
    largest_contribution,
    not_read,
    number,
    others,
    printable,
    raised_words,
    rule_lines,
    ruled_words,
    scored,
    signed,
    surface_of,
    title_of,
    weighted,
)
from pixie_retrievers.types import (
    Comparison,
    Explanation,
    SearchResult,
    TextExplanation,
    TextToken,
    TokenContribution,
    TokenDifference,
    WhyNot,
)

__all__ = ["to_html"]

_Item = TypeVar("_Item")

_FOLDED = 600  # characters: more is folded around the strongest passage
_UNFOLDED = 20_000  # of a longer text so much can be opened
_MOST_TOKENS = 20
_BARS = {"query + text": "both", "query": "query", "text": "text", "expansion": "expansion"}


def to_html(
    shown: SearchResult | Sequence[SearchResult] | Explanation | TextExplanation | Comparison | WhyNot,
    *,
    rank: int | None = None,
) -> str:
    """What is shown as a piece of HTML for a page or a notebook: its own style, for light, dark and paper; no script.

    Words of the text that a token is are marked, the stronger the more it adds, with a solid line under them; words
    that raised a token have a wavy line; what the model does not read is dimmed. A long text is folded around the
    passage where the strongest tokens stand.

    Args:
        shown: A result, the results of a query, an explanation, a comparison, or why a document is not found.
        rank: The place of a single result in its list, from 1.
    """
    if isinstance(shown, Explanation):
        lines = list(_explanation(shown, None))
    elif isinstance(shown, SearchResult):
        lines = _hit(shown, rank, None)
    elif isinstance(shown, TextExplanation):
        lines = _text(shown)
    elif isinstance(shown, Comparison):
        lines = _comparison(shown)
    elif isinstance(shown, WhyNot):
        lines = _why_not(shown)
    else:
        largest = largest_contribution(shown)
        lines = [line for n, result in enumerate(shown, start=1) for line in _hit(result, n, largest)]
        lines = lines or ["<p>No document shares a token with the query.</p>"]
    return "\n".join([f'<section lang="ko" class="pixie"><style>{STYLE}</style>', *lines, "</section>"])


def _hit(result: SearchResult, rank: int | None, largest: float | None) -> list[str]:
    title, begin = title_of(result.document)
    id = printable(result.document.id)
    heading = ("" if rank is None else f"{rank}. ") + (title or id)
    details = details_of(result.document)
    return [
        '<div class="hit">',
        (
            f'<div class="head"><span><strong>{_escaped(heading)}</strong>'
            f"{f' <small>{_escaped(id)}</small>' if title else ''}</span>"
            f'<span class="score">{scored(result.score)}</span></div>'
        ),
        *([f"<small>{_escaped(details)}</small>"] if details else []),
        *_marked(MarkedText.of_document(result.document.text, begin, result.explanation)),
        *(() if result.explanation is None else _explanation(result.explanation, largest)),
        "</div>",
    ]


def _explanation(explanation: Explanation, largest: float | None) -> Iterator[str]:
    if not explanation.n_tokens:
        yield '<p class="note">No token in common: the score is 0.</p>'
        return
    scale = largest or max((item.contribution for item in explanation.contributions), default=1.0) or 1.0
    yield "<table>"
    yield _row("th", ("token", ""), ("adds", "n"), ("", "w"), ("query × text", "n wide"), ("found in", ""))
    for item in explanation.contributions:
        yield _row(
            "td",
            (_escaped(surface_of(item)), ""),
            (number(item.contribution), "n"),
            (_bar(item.contribution / scale, _BARS[found_in(item)]), ""),
            (f"{number(item.query_weight)} × {number(item.document_weight)}", "n wide"),
            (_escaped(found_words(explanation, item)), ""),
        )
    if rest := others(explanation):
        yield _row("td", (_escaped(rest), ""), (number(explanation.residual), "n"), kind="rest")
    yield "</table>"
    yield from _rules(explanation.contributions)


def _text(told: TextExplanation) -> list[str]:
    marked = MarkedText.of_text(told)
    name = "query" if told.id is None else printable(told.id)
    counted = f"<small>{_escaped(weighted(told))}</small>"
    lines = [f'<div class="head"><strong>{_escaped(name)}</strong>{counted}</div>', *_marked(marked)]
    if not told.tokens:
        return [*lines, '<p class="note">No token: nothing is found by this text.</p>']
    largest = told.tokens[0].weight or 1.0

    def row(token: TextToken) -> str:
        return _row(
            "td",
            (_escaped(surface_of(token)), ""),
            (number(token.weight), "n"),
            (_bar(token.weight / largest, "both" if token.literal else "expansion"), ""),
            (_escaped(raised_words(token)), ""),
        )

    head = _row("th", ("token", ""), ("weight", "n"), ("", "w"), ("comes from", ""))
    return [*lines, *_table(head, told.tokens, row), *_rules(told.tokens)]


def _comparison(told: Comparison) -> list[str]:
    return [
        f"<small>{_escaped(printable(told.query))}</small>",
        *(
            f'<div class="head"><span><strong>{name}</strong> '
            f"{_escaped(title_of(result.document)[0] or printable(result.document.id))}</span>"
            f'<span class="score">{scored(result.score)}</span></div>'
            for name, result in (("A", told.a), ("B", told.b))
        ),
        *_differences(told),
        *(
            f'<div class="hit"><strong>{name}</strong>\n{text}</div>'
            for name, result in (("A", told.a), ("B", told.b))
            for text in ["\n".join(_marked(_body(result)))]
        ),
    ]


def _why_not(told: WhyNot) -> list[str]:
    lines = [
        f'<div class="head"><strong>{_escaped(printable(told.id))}</strong></div>',
        f"<p>{_escaped(told.summary)}</p>",
    ]
    if told.unread:
        words = " · ".join(f"{surface_of(token)} {number(token.weight)}" for token in told.unread)
        lines.append(f'<p class="note">in the part that is not read: {_escaped(words)}</p>')
    return lines if told.comparison is None else lines + _comparison(told.comparison)


def _differences(told: Comparison) -> list[str]:
    if not told.tokens:
        return ['<p class="note">Neither shares a token with the query.</p>']
    largest = max(abs(token.difference) for token in told.tokens) or 1.0

    def row(token: TokenDifference) -> str:
        share = abs(token.difference) / largest
        left = _bar(share, "less") if token.difference < 0 else ""
        right = _bar(share, "more") if token.difference > 0 else ""
        sides = f'<div class="sides"><div class="side left">{left}</div><div class="side">{right}</div></div>'
        return _row(
            "td",
            (_escaped(surface_of(token) + ruled_words(token)), ""),
            (number(token.contribution_a), "n"),
            (number(token.contribution_b), "n"),
            (signed(token.difference), "n"),
            (sides, ""),
        )

    head = _row("th", ("token", ""), ("adds to A", "n"), ("to B", "n"), ("A − B", "n"), ("B ◂ ▸ A", "w middle"))
    foot = _row("td", ("together", ""), ("", ""), ("", ""), (signed(told.difference), "n"), ("", ""), kind="sum")
    return [*_table(head, told.tokens, row, foot), *_rules(told.tokens)]


def _rules(items: Iterable[TokenContribution | TextToken | TokenDifference]) -> list[str]:
    return [f'<p class="note">{_escaped(line)}</p>' for line in rule_lines(items)]


def _table(head: str, items: Sequence[_Item], row: Callable[[_Item], str], foot: str = "") -> list[str]:
    """The first rows, and the others where a reader opens them."""
    first, more = items[:_MOST_TOKENS], items[_MOST_TOKENS:]
    lines = ["<table>", head, *map(row, first), *([foot] if foot else []), "</table>"]
    if more:
        opened = ["<table>", head, *map(row, more), "</table>"]
        lines += [
            f"<details><summary>+ {len(more)} other{'s' if len(more) > 1 else ''}</summary>",
            *opened,
            "</details>",
        ]
    return lines


def _body(result: SearchResult) -> MarkedText:
    return MarkedText.of_document(result.document.text, title_of(result.document)[1], result.explanation)


def _marked(marked: MarkedText) -> Iterator[str]:
    """The text, or its strongest passage and the whole of it where a reader opens it."""
    start, stop = marked.passage(_FOLDED)
    before, behind = "… " if start else "", " …" if stop < len(marked.text) else ""
    yield f"<p>{before}{_pieces(marked.pieces(start, stop))}{behind}</p>"
    if before or behind:
        whole = min(len(marked.text), _UNFOLDED)
        what = "all" if whole == len(marked.text) else f"the first {whole:,}"
        yield f'<details class="all"><summary>{what} of {len(marked.text):,} characters</summary>'
        yield f"<p>{_pieces(marked.pieces(0, whole))}</p></details>"
    if note := not_read(marked.n_unread, len(marked.text)):
        yield f'<p class="note">{note}</p>'


def _pieces(pieces: Iterable[Piece]) -> str:
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Piece) -> str:
    text = _escaped(piece.text)
    if not piece.read:
        return f'<span class="unread">{text}</span>'
    kinds = [name for name, there in (("literal", piece.literal), ("raised", piece.raised)) if there]
    if not kinds:
        return text
    strength = f"s{min(4, 1 + int(4 * piece.strength))}"
    return f'<mark class="{" ".join([*kinds, strength])}">{text}</mark>'


def _row(cell: Literal["th", "td"], *cells: tuple[str, str], kind: str = "") -> str:
    """A row of a table: content that is escaped already, each with a class or none."""
    inside = "".join(f"<{cell}{_class(name)}>{content}</{cell}>" for content, name in cells)
    return f"<tr{_class(kind)}>{inside}</tr>"


def _bar(share: float, kind: str) -> str:
    return f'<div class="bar {kind}" style="width:{max(0.0, min(1.0, share)):.1%}"></div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)
