"""What terminal and page say in the same words: numbers, names, and characters that must not act."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from pixie_retrievers.types import (
    Document,
    Explanation,
    SearchResult,
    TextExplanation,
    TextToken,
    TokenContribution,
    TokenDifference,
)

__all__ = [
    "UNSEEN",
    "details_of",
    "found_in",
    "found_words",
    "largest_contribution",
    "not_read",
    "number",
    "others",
    "printable",
    "raised_words",
    "rule_lines",
    "ruled_words",
    "scored",
    "signed",
    "surface_of",
    "title_of",
    "weighted",
]

_DIRECTION_CHANGERS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
# What has no width or is blank, Hangul's fillers among it; tags and variation selectors, in which whole texts hide.
_WITHOUT_WIDTH = {0xAD, 0x34F, 0x115F, 0x1160, *range(0x17B4, 0x17B6), *range(0x180B, 0x1810), *range(0x200B, 0x200E)}
_WITHOUT_WIDTH |= {*range(0x2060, 0x2066), *range(0x206A, 0x2070), 0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC)}
_WITHOUT_WIDTH |= {*range(0xFE00, 0xFE0E), *range(0xE0000, 0xE0200), 0x2028, 0x2029}
_CONTROLS = {*range(0x20), *range(0x7F, 0xA0)}
UNSEEN = frozenset(_CONTROLS | _DIRECTION_CHANGERS | _WITHOUT_WIDTH)
"""The characters that a terminal or a page would obey, or show nothing of: made visible wherever they come from."""
_UNPRINTABLE = dict.fromkeys(UNSEEN, "\N{REPLACEMENT CHARACTER}")


def printable(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey."""
    return " ".join(text.split()).translate(_UNPRINTABLE)


def number(value: float) -> str:
    """Two decimals; a value that they would show as nothing keeps its size."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:.1g}"


def scored(score: float) -> str:
    """A score with its name; nothing where none is known, as of a document that another retriever found."""
    return "" if isnan(score) else f"score {number(score)}"


def signed(value: float) -> str:
    """The same with its sign, but for nothing at all."""
    return number(value) if value == 0 else f"{'+' if value > 0 else '−'}{number(abs(value))}"


def surface_of(item: TokenContribution | TextToken | TokenDifference) -> str:
    """A token as a person reads it, never empty."""
    return printable(item.surface) or printable(item.token) or "␣"


def found_in(item: TokenContribution) -> str:
    """Where a token literally stands."""
    if item.in_query:
        return "query + text" if item.in_document else "query"
    return "text" if item.in_document else "expansion"


def found_words(explanation: Explanation, item: TokenContribution) -> str:
    """The same; which word of the text raised it, if somebody asked; and the rule that weighs it, if one does."""
    by = (explanation.raised_by or {}).get(item.token_id)
    found = found_in(item) if by is None else f"{found_in(item)} ← {printable(by.by) or '␣'}"
    return found + ruled_words(item)


def ruled_words(item: TokenContribution | TextToken | TokenDifference) -> str:
    """What a rule does to a token, behind other words; nothing where none does."""
    return "" if item.rule is None else f" · {printable(item.rule.effect)}"


def rule_lines(items: Iterable[TokenContribution | TextToken | TokenDifference]) -> list[str]:
    """Where the rules of some tokens come from: a line for each origin, with what it does to which of them."""
    lines: dict[str, list[str]] = {}
    for item in items:
        if item.rule is not None:
            lines.setdefault(item.rule.origin, []).append(f"{surface_of(item)} {printable(item.rule.effect)}")
    return [f"rules {printable(origin)}: {' · '.join(effects)}" for origin, effects in lines.items()]


def raised_words(item: TextToken) -> str:
    """Where a token of a text comes from, and the rule that weighs it, if one does."""
    if item.literal:
        return "in the text" + ruled_words(item)
    if item.rule is not None and not item.rule.model_weight:
        return ruled_words(item).removeprefix(" · ")
    return ("added" if item.raised_by is None else f"← {printable(item.raised_by.by) or '␣'}") + ruled_words(item)


def weighted(told: TextExplanation) -> str:
    """How many tokens a text has a weight for, and how many of them it does not have itself."""
    n_ruled = sum(token.rule is not None and not token.rule.model_weight for token in told.tokens)
    n_added = sum(not token.literal for token in told.tokens) - n_ruled
    by_rule = f", {n_ruled:,} by a rule" if n_ruled else ""
    counted = f"{len(told.tokens):,} token{'' if len(told.tokens) == 1 else 's'}"
    return f"{counted}, {n_added:,} of them added by the model{by_rule}"


def others(explanation: Explanation) -> str:
    """How many tokens are not shown."""
    n_others = explanation.n_tokens - len(explanation.contributions)
    return "" if n_others <= 0 else f"+ {n_others} other{'s' if n_others > 1 else ''}"


def not_read(n_unread: int, n_characters: int) -> str:
    """A note under a text that is longer than the model reads; empty where it is not."""
    return "" if not n_unread else f"not read by the model: {n_unread:,} of {n_characters:,} characters"


def largest_contribution(results: Iterable[SearchResult]) -> float | None:
    """The largest contribution in any of the explanations: what a full bar stands for."""
    return max(
        (c.contribution for result in results if result.explanation for c in result.explanation.contributions),
        default=None,
    )


def title_of(document: Document) -> tuple[str, int]:
    """The title that the metadata hold, or nothing, and where the text begins behind it, if it begins with it."""
    title = document.metadata.get("title")
    if not isinstance(title, str) or not title.strip():
        return "", 0
    first, _, rest = document.text.partition("\n")
    return printable(title), len(first) + 1 if first.strip() == title.strip() and rest.strip() else 0


def details_of(document: Document) -> str:
    """The short ones of the metadata, but for the title."""
    shown = [
        f"{printable(key)}: {printable(str(value))}"
        for key, value in document.metadata.items()
        if key != "title" and isinstance(value, (str, int, float)) and len(str(value)) <= 60
    ]
    return " · ".join(shown)
