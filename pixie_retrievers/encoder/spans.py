"""From a tokenizer's offsets to the characters of the caller's own string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pixie_retrievers.encoder.graphemes import Graphemes
from pixie_retrievers.encoder.rare import RareCharacters
from pixie_retrievers.types.spans import Span

__all__ = ["spans_of_terms", "spans_of_tokens"]


def spans_of_tokens(encoding: Any, text: str, n_prompt: int, rare: RareCharacters) -> list[Span | None]:
    """For each token of an encoding the characters that it is; None for special tokens, the prompt and white space.

    Where a normalizer composes letters, a token's offsets reach only to the first code point of its last letter: every
    span is widened to whole characters.

    Args:
        encoding: What ``tokenizers`` made of the prompt and the text, or of as much of it as the model reads.
        text: The text without the prompt.
        n_prompt: The prompt's length.
        rare: Knows which tokens spell a character in bytes.
    """
    graphemes = Graphemes(text)
    offsets = [(max(0, start - n_prompt), max(0, stop - n_prompt)) for start, stop in encoding.offsets]
    _part_runs_of_bytes(encoding.ids, offsets, text, rare)
    found: list[Span | None] = []
    for (start, stop), special in zip(offsets, encoding.special_tokens_mask, strict=True):
        piece = "" if special else text[start:stop]
        bare = piece.strip()
        first = start + piece.find(bare)
        found.append(graphemes.whole(first, first + len(bare)) if bare else None)
    return found


def _part_runs_of_bytes(ids: Sequence[int], offsets: list[Span], text: str, rare: RareCharacters) -> None:
    """Give bytes the offsets of their own character, where a tokenizer gives a whole run of characters to each.

    Characters that normalisation made out of others are not in the text as they are: they keep the run's offsets.
    """
    run, position = (0, 0), 0
    for first, last, character in rare.spelled(ids):
        if offsets[first] != run:
            run = offsets[first]
            position = run[0]
        place = text.find(character, position, run[1])  # a character that is not read to its end has no place
        if place >= 0:
            position = place + len(character)
            offsets[first:last] = [(place, position)] * (last - first)


def spans_of_terms(
    ids: Sequence[int], spans: Sequence[Span | None], special: frozenset[int], rare: RareCharacters
) -> dict[int, tuple[Span, ...]]:
    """The spans of each term, ascending, without duplicates; rare characters under their own terms.

    Args:
        ids: The text's tokens.
        spans: What :func:`spans_of_tokens` said of each.
        special: Terms that no text is made of.
        rare: Knows the terms of characters that the vocabulary has only as bytes.
    """
    found: dict[int, set[Span]] = {}
    for term, span in zip(ids, spans, strict=True):
        if span is not None and term not in special and term not in rare:
            found.setdefault(term, set()).add(span)
    for first, _, character in rare.spelled(ids):
        span = spans[first]
        if character and span is not None:
            for term in rare.terms(character):
                found.setdefault(term, set()).add(span)
    return {term: tuple(sorted(places)) for term, places in sorted(found.items())}
