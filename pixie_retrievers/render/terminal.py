"""Explained results as a person reads them: rich renderables for a terminal, plain text, and a piece of HTML.

Pure functions of results. Whatever stands in a document is data here: characters that a terminal would obey, or show
nothing of, are made visible before they reach one, no text is read as rich markup, and every string that enters HTML
goes through one escaping function.
"""

from __future__ import annotations

import html
import io
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pixie_retrievers.types import Explanation, SearchResult, TokenContribution

__all__ = ["UNSEEN", "explanation_view", "largest_contribution", "result_view", "results_view", "to_html", "to_text"]

LEGEND = (
    "found in: where a token literally stands. One that stands in the query or the text alone, or in neither"
    " (expansion), the model added for its meaning."
)

_BAR_WIDTH = 16
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLOURS = {"query + text": "green", "query": "cyan", "text": "blue", "expansion": "magenta"}
_HTML_COLOURS = {"query + text": "#2e7d32", "query": "#00838f", "text": "#1565c0", "expansion": "#8e24aa"}
_DIRECTION_CHANGERS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
# What has no width or is blank, Hangul's fillers among it; tags and variation selectors, in which whole texts hide.
_WITHOUT_WIDTH = {0xAD, 0x34F, 0x115F, 0x1160, *range(0x17B4, 0x17B6), *range(0x180B, 0x1810), *range(0x200B, 0x200E)}
_WITHOUT_WIDTH |= {*range(0x2060, 0x2066), *range(0x206A, 0x2070), 0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC)}
_WITHOUT_WIDTH |= {*range(0xFE00, 0xFE0E), *range(0xE0000, 0xE0200), 0x2028, 0x2029}
_CONTROLS = {*range(0x20), *range(0x7F, 0xA0)}
UNSEEN = frozenset(_CONTROLS | _DIRECTION_CHANGERS | _WITHOUT_WIDTH)
"""The characters that a terminal or a page would obey, or show nothing of: made visible wherever they come from."""
_UNPRINTABLE = dict.fromkeys(UNSEEN, "\N{REPLACEMENT CHARACTER}")
_CONTINUES = ("##",)  # WordPiece: the token stands inside a word
_STARTS = ("▁", "Ġ")  # SentencePiece and byte-level BPE: the token starts a word


def results_view(
    results: Sequence[SearchResult],
    *,
    tokens: Literal["table", "line"] = "table",
    max_characters: int | None = 240,
) -> RenderableType:
    """All results of one query under each other, their bars on one scale.

    Args:
        results: Best first, as a search returns them.
        tokens: The tokens of each as a table with bars, or on one line.
        max_characters: Longer texts are cut to the passage where the strongest tokens stand; None shows them whole.
    """
    if not results:
        return Text("No document shares a token with the query.", style="yellow")
    largest = largest_contribution(results)
    parts: list[RenderableType] = []
    for rank, result in enumerate(results, start=1):
        if parts and tokens == "table":
            parts.append(Text())
        parts.append(result_view(result, rank=rank, tokens=tokens, largest=largest, max_characters=max_characters))
    return Group(*parts)


def result_view(
    result: SearchResult,
    *,
    rank: int | None = None,
    tokens: Literal["table", "line"] = "table",
    largest: float | None = None,
    max_characters: int | None = 240,
) -> RenderableType:
    """One result: rank, title, score, text with its matched tokens marked, and what each token added.

    Args:
        result: The result.
        rank: Its place in the list, from 1.
        tokens: The tokens as a table with bars, or on one line.
        largest: The contribution that fills a bar; None takes the largest of this result.
        max_characters: Longer texts are cut to the passage where the strongest tokens stand; None shows them whole.
    """
    title, body = _title_and_body(result)
    number = "" if rank is None else f"{rank}"
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(width=3, justify="right", no_wrap=True)
    head.add_column(ratio=1, overflow="fold")
    head.add_column(justify="right", no_wrap=True)
    name = Text(title or _printable(result.document.id), style="bold")
    if title:
        name.append(f"  {_printable(result.document.id)}", style="not bold dim")
    head.add_row(Text(number, style="bold cyan"), name, Text(f"score {_number(result.score)}", style="bold cyan"))
    parts: list[RenderableType] = [head]
    if details := _details(result):
        parts.append(_indented(Text(details, style="dim", no_wrap=True, overflow="ellipsis")))
    contributions = () if result.explanation is None else result.explanation.contributions
    parts.append(_indented(_marked(body, contributions, max_characters)))
    if result.explanation is not None:
        if tokens == "table":
            parts.append(_indented(explanation_view(result.explanation, largest=largest)))
        else:
            parts.append(_indented(_token_line(result.explanation)))
    return Group(*parts)


def explanation_view(explanation: Explanation, *, largest: float | None = None) -> RenderableType:
    """A table of what each token added to the score, and a line for the tokens that are not shown.

    Args:
        explanation: The explanation.
        largest: The contribution that fills a bar; None takes the largest of this explanation.
    """
    if not explanation.n_tokens:
        return Text("No token in common: the score is 0.", style="yellow")
    scale = largest or max((c.contribution for c in explanation.contributions), default=1.0)
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=10, max_width=22, overflow="ellipsis", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(width=_BAR_WIDTH, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    if explanation.contributions:
        table.add_row("token", "adds", "", "query × text", "found in", style="dim")
    for item in explanation.contributions:
        place = _found_in(item)
        table.add_row(
            Text(_surface(item), style=_COLOURS[place]),
            _number(item.contribution),
            Text(_bar(item.contribution / scale), style=_COLOURS[place]),
            Text(f"{_number(item.query_weight)} × {_number(item.document_weight)}", style="dim"),
            Text(place, style=_COLOURS[place]),
        )
    if others := _others(explanation):
        table.add_row(Text(others, style="dim"), Text(_number(explanation.residual), style="dim"))
    return table


def largest_contribution(results: Iterable[SearchResult]) -> float | None:
    """The largest contribution in any of the explanations: what a full bar stands for."""
    return max(
        (c.contribution for result in results if result.explanation for c in result.explanation.contributions),
        default=None,
    )


def to_text(
    shown: SearchResult | Sequence[SearchResult] | Explanation,
    *,
    width: int = 80,
    tokens: Literal["table", "line"] = "table",
    max_characters: int | None = 240,
) -> str:
    """The same as plain text without colours, for a log or a notebook.

    Args:
        shown: A result, the results of a query, or an explanation.
        width: The number of columns; a Korean character takes two.
        tokens: The tokens as a table with bars, or on one line.
        max_characters: Longer texts are cut to the passage where the strongest tokens stand; None shows them whole.
    """
    if isinstance(shown, Explanation):
        view = explanation_view(shown)
    elif isinstance(shown, SearchResult):
        view = result_view(shown, tokens=tokens, max_characters=max_characters)
    else:
        view = results_view(shown, tokens=tokens, max_characters=max_characters)
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(view)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def to_html(result: SearchResult, *, rank: int | None = None) -> str:
    """One result as a self-contained piece of HTML: inline styles, no script, every string escaped."""
    title, body = _title_and_body(result)
    id = _printable(result.document.id)
    heading = ("" if rank is None else f"{rank}. ") + (title or id)
    contributions = () if result.explanation is None else result.explanation.contributions
    text = "".join(
        f"<mark>{_escaped(piece)}</mark>" if marked else _escaped(piece)
        for piece, marked in _pieces(body, _literal_spans(body, contributions))
    )
    lines = [
        '<section lang="ko" style="font-family:sans-serif;margin:1em 0">',
        (
            f"<div><strong>{_escaped(heading)}</strong>{f' <small>{_escaped(id)}</small>' if title else ''}"
            f' <span style="float:right">score {_number(result.score)}</span></div>'
        ),
        f"<p>{text}</p>",
    ]
    if result.explanation is not None:
        lines.append('<table style="border-collapse:collapse;font-size:90%">')
        scale = largest_contribution([result]) or 1.0
        for item in contributions:
            place = _found_in(item)
            share = max(0.0, min(1.0, item.contribution / scale))
            lines.append(
                f"<tr><td>{_escaped(_surface(item))}</td>"
                f'<td style="text-align:right;padding:0 1em">{_number(item.contribution)}</td>'
                f'<td style="width:10em"><div style="height:.8em;width:{share:.1%};'
                f'background:{_HTML_COLOURS[place]}"></div></td>'
                f'<td style="padding:0 1em">{_number(item.query_weight)} × {_number(item.document_weight)}</td>'
                f"<td>{_escaped(place)}</td></tr>"
            )
        if others := _others(result.explanation):
            number = _number(result.explanation.residual)
            lines.append(
                f'<tr><td>{_escaped(others)}</td><td style="text-align:right;padding:0 1em">{number}</td></tr>'
            )
        lines.append("</table>")
    lines.append("</section>")
    return "\n".join(lines)


def _token_line(explanation: Explanation) -> Text:
    if not explanation.n_tokens:
        return Text("no token in common", style="yellow")
    line = Text()
    for item in explanation.contributions:
        place = _found_in(item)
        line.append(f"{'' if item.in_query and item.in_document else '~'}{_surface(item)} ", style=_COLOURS[place])
        line.append(f"{_number(item.contribution)}", style="dim")
        line.append(" · ", style="dim")
    if others := _others(explanation):
        line.append(f"{others} {_number(explanation.residual)}", style="dim")
    else:
        line.right_crop(3)
    return line


def _title_and_body(result: SearchResult) -> tuple[str, str]:
    """The title that the metadata hold, if any, and the text on one line, without that title as its first line."""
    text = result.document.text
    title = result.document.metadata.get("title")
    if not isinstance(title, str) or not title.strip():
        return "", _printable(text)
    first, _, rest = text.partition("\n")
    return _printable(title), _printable(rest if first.strip() == title.strip() and rest.strip() else text)


def _details(result: SearchResult) -> str:
    shown = [
        f"{_printable(key)}: {_printable(str(value))}"
        for key, value in result.document.metadata.items()
        if key != "title" and isinstance(value, (str, int, float)) and len(str(value)) <= 60
    ]
    return " · ".join(shown)


def _found_in(item: TokenContribution) -> str:
    if item.in_query:
        return "query + text" if item.in_document else "query"
    return "text" if item.in_document else "expansion"


def _others(explanation: Explanation) -> str:
    n_others = explanation.n_tokens - len(explanation.contributions)
    return "" if n_others <= 0 else f"+ {n_others} other{'s' if n_others > 1 else ''}"


def _number(value: float) -> str:
    """Two decimals; a value that they would show as nothing keeps its size."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:.0e}"


def _bar(share: float) -> str:
    eighths = max(1, round(min(1.0, max(0.0, share)) * _BAR_WIDTH * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def _surface(item: TokenContribution) -> str:
    return _printable(item.surface) or _printable(item.token) or "␣"


def _printable(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey."""
    return " ".join(text.split()).translate(_UNPRINTABLE)


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)


def _indented(view: RenderableType) -> Padding:
    return Padding(view, (0, 0, 0, 4))


def _marked(text: str, contributions: Sequence[TokenContribution], max_characters: int | None) -> Text:
    spans = _literal_spans(text, contributions)
    start, stop = _excerpt(text, spans, max_characters)
    inside = [(max(a, start) - start, min(b, stop) - start, w) for a, b, w in spans if a < stop and b > start]
    shown = Text("… " if start else "")
    for piece, marked in _pieces(text[start:stop], inside):
        shown.append(piece, style="bold underline" if marked else "")
    if stop < len(text):
        shown.append(" …")
    return shown


def _literal_spans(text: str, contributions: Iterable[TokenContribution]) -> list[tuple[int, int, float]]:
    """Where the tokens that the document literally has stand in its text: (start, stop, contribution), no overlaps.

    A token is looked for as its spelling allows: inside a word, at the start of one, or, when the spelling does not
    say, anywhere. Single characters would mark half the text: they count at the start of a word and right behind
    another match.
    """
    taken = [False] * len(text)
    spans = []
    literal = {item.surface.strip(): item for item in contributions if item.in_document and item.surface.strip()}
    for surface, item in sorted(literal.items(), key=lambda entry: -len(entry[0])):
        if len(surface) == 1:
            continue
        before = r"(?<=\w)" if item.token.startswith(_CONTINUES) else ""
        before = r"(?<!\w)" if item.token.startswith(_STARTS) else before
        for match in re.finditer(before + re.escape(surface), text, re.IGNORECASE):
            start, stop = match.span()
            if not any(taken[start:stop]):
                taken[start:stop] = [True] * (stop - start)
                spans.append((start, stop, item.contribution))
    for position, character in enumerate(text):
        behind = text[position - 1 : position]
        if character in literal and not taken[position] and (not behind.isalnum() or taken[position - 1]):
            taken[position] = True
            spans.append((position, position + 1, literal[character].contribution))
    return sorted(spans)


def _pieces(text: str, spans: Iterable[tuple[int, int, float]]) -> Iterator[tuple[str, bool]]:
    position = 0
    for start, stop, _ in spans:
        if position < start:
            yield text[position:start], False
        yield text[start:stop], True
        position = stop
    if position < len(text):
        yield text[position:], False


def _excerpt(text: str, spans: Sequence[tuple[int, int, float]], max_characters: int | None) -> tuple[int, int]:
    """The stretch of at most ``max_characters`` with the strongest tokens, cut between words where there are any."""
    if max_characters is None or len(text) <= max_characters:
        return 0, len(text)
    sentences = {0, *(match.end() for match in re.finditer(r"[.!?…] ", text))}
    half = max_characters // 2
    words = set()
    for start, _, _ in spans:
        ahead = max(0, start - 20)
        word = text.rfind(" ", max(0, start - half), ahead) + 1
        words.add(word if start - word < half else ahead)  # not where words have no end
    starts, stops = [start for start, _, _ in spans], [stop for _, stop, _ in spans]
    # Sums up to each token, of which a stretch's is a difference: rounded, for two that are equal to be so here too.
    sums = list(accumulate((weight for _, _, weight in spans), initial=0.0))

    def stop_of(start: int) -> int:
        stop = min(len(text), start + max_characters)
        word = text.rfind(" ", start + half + 1, stop) if stop < len(text) else -1
        return word if word > 0 else stop

    def strength(start: int) -> float:
        first, last = bisect_left(starts, start), bisect_right(stops, stop_of(start))
        covered = round((sums[max(first, last)] - sums[first]) / (sums[-1] or 1.0), 12)
        return covered * (1.25 if start in sentences else 1)  # a whole sentence reads better

    start = max(sorted(sentences | words), key=strength)
    return start, stop_of(start)
