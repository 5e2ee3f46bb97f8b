"""Results and reasons for a terminal, as rich renderables, and as plain text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pixie_retrievers.render.marks import MarkedText
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

__all__ = [
    "LEGEND",
    "RAISED",
    "comparison_view",
    "explanation_view",
    "result_view",
    "results_view",
    "text_view",
    "to_text",
    "why_not_view",
]

LEGEND = (
    "found in: where a token literally stands. One that stands in the query or the text alone, or in neither"
    " (expansion), the model added for its meaning."
)
RAISED = "← names the word of the text that raised it."

_BAR_WIDTH = 16
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLOURS = {"query + text": "green", "query": "cyan", "text": "blue", "expansion": "magenta"}
_MOST_TOKENS = 20


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
    title, begin = title_of(result.document)
    place = "" if rank is None else f"{rank}"
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(width=3, justify="right", no_wrap=True)
    head.add_column(ratio=1, overflow="fold")
    head.add_column(justify="right", no_wrap=True)
    name = Text(title or printable(result.document.id), style="bold")
    if title:
        name.append(f"  {printable(result.document.id)}", style="not bold dim")
    head.add_row(Text(place, style="bold cyan"), name, Text(scored(result.score), style="bold cyan"))
    parts: list[RenderableType] = [head]
    if details := details_of(result.document):
        parts.append(_indented(Text(details, style="dim", no_wrap=True, overflow="ellipsis")))
    marked = MarkedText.of_document(result.document.text, begin, result.explanation)
    parts.append(_indented(_marked(marked, max_characters)))
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
    table = _grid("left", "right", _BAR_WIDTH, "right", "left")
    if explanation.contributions:
        table.add_row("token", "adds", "", "query × text", "found in", style="dim")
    for item in explanation.contributions:
        place = found_in(item)
        table.add_row(
            Text(surface_of(item), style=_COLOURS[place]),
            number(item.contribution),
            Text(_bar(item.contribution / scale), style=_COLOURS[place]),
            Text(f"{number(item.query_weight)} × {number(item.document_weight)}", style="dim"),
            Text(found_words(explanation, item), style=_COLOURS[place]),
        )
    if rest := others(explanation):
        table.add_row(Text(rest, style="dim"), Text(number(explanation.residual), style="dim"))
    return _with_rules(table, explanation.contributions)


def text_view(
    told: TextExplanation, *, max_tokens: int | None = _MOST_TOKENS, max_characters: int | None = 240
) -> RenderableType:
    """What the model made of one text: the text with its tokens marked, and every token's weight.

    Args:
        told: The explanation.
        max_tokens: At most so many tokens, the strongest; None for all.
        max_characters: A longer text is cut to the passage where the strongest tokens stand; None shows it whole.
    """
    marked = MarkedText.of_text(told)
    name = "query" if told.id is None else printable(told.id)
    head = Text(name, style="bold").append(f"  {weighted(told)}", style="not bold dim")
    parts: list[RenderableType] = [head, _indented(_marked(marked, max_characters))]
    if not told.tokens:
        return Group(*parts, _indented(Text("No token: nothing is found by this text.", style="yellow")))
    table = _grid(*("left", "right", _BAR_WIDTH, "left"))
    table.add_row("token", "weight", "", "comes from", style="dim")
    largest = told.tokens[0].weight or 1.0
    for token in told.tokens[:max_tokens]:
        colour = "green" if token.literal else "magenta"
        table.add_row(
            Text(surface_of(token), style=colour),
            number(token.weight),
            Text(_bar(token.weight / largest), style=colour),
            Text(raised_words(token), style=colour),
        )
    if n_others := len(told.tokens) - len(told.tokens[:max_tokens]):
        table.add_row(Text(f"+ {n_others} other{'s' if n_others > 1 else ''}", style="dim"))
    return Group(*parts, _indented(_with_rules(table, told.tokens[:max_tokens])))


def comparison_view(told: Comparison, *, max_tokens: int | None = _MOST_TOKENS) -> RenderableType:
    """What each token adds to two documents' scores, those first that tell them apart most.

    Args:
        told: The comparison.
        max_tokens: At most so many tokens; None for all.
    """
    parts: list[RenderableType] = []
    for name, style, result in (("A", "blue", told.a), ("B", "yellow", told.b)):
        line = Text(f"{name} ", style=f"bold {style}")
        line.append(title_of(result.document)[0] or printable(result.document.id), style="not bold default")
        line.append(f"  {scored(result.score)}", style="bold cyan")
        parts.append(line)
    return Group(*parts, Text(), _differences(told.tokens, max_tokens, total=told.difference))


def why_not_view(told: WhyNot, *, max_tokens: int | None = _MOST_TOKENS) -> RenderableType:
    """What kept a document out of the k best, and what each token cost it.

    Args:
        told: The reason.
        max_tokens: At most so many tokens; None for all.
    """
    parts: list[RenderableType] = [Text(printable(told.id), style="bold"), Text(told.summary)]
    if told.unread:
        words = " · ".join(f"{surface_of(token)} {number(token.weight)}" for token in told.unread)
        parts.append(Text(f"in the part that is not read: {words}", style="yellow"))
    if told.comparison is not None:
        parts += [Text(), comparison_view(told.comparison, max_tokens=max_tokens)]
    return Group(*parts)


def _differences(tokens: Sequence[TokenDifference], max_tokens: int | None, *, total: float) -> RenderableType:
    if not tokens:
        return Text("Neither shares a token with the query.", style="yellow")
    table = _grid("left", "right", "right", "right", _BAR_WIDTH)
    table.add_row("token", "adds to A", "to B", "A − B", "", style="dim")
    largest = max(abs(token.difference) for token in tokens) or 1.0
    shown = tokens[:max_tokens]
    for token in shown:
        colour = "blue" if token.difference > 0 else "yellow"
        table.add_row(
            Text(surface_of(token) + ruled_words(token)),
            number(token.contribution_a),
            number(token.contribution_b),
            Text(signed(token.difference), style=colour),
            Text(_bar(abs(token.difference) / largest) if token.difference else "", style=colour),
        )
    if rest := tokens[len(shown) :]:
        left = signed(sum(token.difference for token in rest))
        table.add_row(Text(f"+ {len(rest)} other{'s' if len(rest) > 1 else ''}", style="dim"), "", "", left)
    table.add_row(Text("together", style="dim"), "", "", Text(signed(total), style="bold"))
    return _with_rules(table, shown)


def _with_rules(table: Table, items: Iterable[TokenContribution | TextToken | TokenDifference]) -> RenderableType:
    """The table, and where the rules of its tokens come from."""
    lines = rule_lines(items)
    return Group(table, *(Text(line, style="dim") for line in lines)) if lines else table


def _grid(*columns: Literal["left", "right"] | int) -> Table:
    """A table without lines: a column of names, then columns by their alignment, or by their width."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=10, max_width=22, overflow="ellipsis", no_wrap=True)
    for column in columns[1:]:
        if isinstance(column, int):
            table.add_column(width=column, no_wrap=True)
        else:
            table.add_column(justify=column, no_wrap=True, overflow="ellipsis")
    return table


def to_text(
    shown: SearchResult | Sequence[SearchResult] | Explanation | TextExplanation | Comparison | WhyNot,
    *,
    width: int = 80,
    tokens: Literal["table", "line"] = "table",
    max_characters: int | None = 240,
) -> str:
    """The same as plain text without colours, for a log or a notebook.

    Args:
        shown: A result, the results of a query, an explanation, a comparison, or why a document is not found.
        width: The number of columns; a Korean character takes two.
        tokens: The tokens as a table with bars, or on one line.
        max_characters: Longer texts are cut to the passage where the strongest tokens stand; None shows them whole.
    """
    if isinstance(shown, Explanation):
        view = explanation_view(shown)
    elif isinstance(shown, TextExplanation):
        view = text_view(shown, max_characters=max_characters)
    elif isinstance(shown, Comparison):
        view = comparison_view(shown)
    elif isinstance(shown, WhyNot):
        view = why_not_view(shown)
    elif isinstance(shown, SearchResult):
        view = result_view(shown, tokens=tokens, max_characters=max_characters)
    else:
        view = results_view(shown, tokens=tokens, max_characters=max_characters)
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(view)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _token_line(explanation: Explanation) -> Text:
    if not explanation.n_tokens:
        return Text("no token in common", style="yellow")
    line = Text()
    for item in explanation.contributions:
        place = found_in(item)
        line.append(f"{'' if item.in_query and item.in_document else '~'}{surface_of(item)} ", style=_COLOURS[place])
        line.append(f"{number(item.contribution)}", style="dim")
        line.append(" · ", style="dim")
    if rest := others(explanation):
        line.append(f"{rest} {number(explanation.residual)}", style="dim")
    else:
        line.right_crop(3)
    return line


def _bar(share: float) -> str:
    eighths = max(1, round(min(1.0, max(0.0, share)) * _BAR_WIDTH * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def _indented(view: RenderableType) -> Padding:
    return Padding(view, (0, 0, 0, 4))


def _marked(marked: MarkedText, max_characters: int | None) -> Text:
    start, stop = marked.passage(max_characters)
    shown = Text("… " if start else "")
    for piece in marked.pieces(start, stop):
        style = "bold underline" if piece.literal else "italic underline" if piece.raised else ""
        shown.append(piece.text, style=style if piece.read else "dim")
    if stop < len(marked.text):
        shown.append(" …")
    if note := not_read(marked.n_unread, len(marked.text)):
        shown.append(f"\n{note}", style="yellow")
    return shown
