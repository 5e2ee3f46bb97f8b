"""Long documents in passages that a model reads whole, cut at the ends of sentences, with some overlap."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, cast

from pixie_retrievers.errors import InvalidDocumentError, InvalidParameterError
from pixie_retrievers.models import chosen_encoder
from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.types import Document

__all__ = ["TokenCounter", "sentences", "split_documents"]

_FEWEST_TOKENS = 16
_CHARACTERS_A_TOKEN = 16  # of a longer text nobody need ask whether it fits
_OVERLAP = 8  # a passage begins with an eighth of the last

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’」』)\]]*\s+|\n\s*")


def sentences(text: str) -> list[str]:
    """The sentences of a text, or its lines, without the white space around them."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


class TokenCounter(Protocol):
    """What knows how a model divides texts: :class:`~pixie_retrievers.PixieEncoder` does."""

    @property
    def max_length(self) -> int:
        """How many tokens of a text the model reads."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the whole of each text has, with all that the model puts around it."""
        ...


def split_documents(
    documents: Iterable[Document],
    encoder: TokenCounter | str | os.PathLike[str],
    max_tokens: int | None = None,
    *,
    overlap: int | None = None,
) -> Iterator[Document]:
    """The documents in passages, each short enough for the model to read it whole.

    A passage ends where a sentence ends; a sentence that is too long itself is cut between words, and a word within.
    The passages of document ``rules`` have the ids ``rules#1``, ``rules#2`` and so on, even where there is only one.
    They have its metadata, and ``source``, which is the document's id unless it has a source already, and ``passage``,
    the number.

    Args:
        documents: Read one at a time.
        encoder: Counts tokens: the encoder that will encode the passages. A model's name or folder, or ``"bundled"``,
            loads one.
        max_tokens: A passage has at most so many, special tokens and prompt included; 16 or more. None is what the
            model reads.
        overlap: A passage begins with the last sentences of the one before, as many as fit in so many tokens. None is
            an eighth of ``max_tokens``, 0 no overlap.

    Raises:
        InvalidParameterError: ``max_tokens`` is more than the model reads, or ``overlap`` more than half of that.
    """
    if isinstance(encoder, (str, os.PathLike)):
        encoder = cast("TokenCounter", chosen_encoder(encoder))
    limit = encoder.max_length if max_tokens is None else max_tokens
    check_whole_number("max_tokens", limit, at_least=_FEWEST_TOKENS)
    if limit > encoder.max_length:
        raise InvalidParameterError(f"max_tokens is {limit}, but the model reads at most {encoder.max_length} tokens")
    if overlap is None:
        overlap = limit // _OVERLAP
    check_whole_number("overlap", overlap, at_least=0)
    if overlap > limit // 2:
        raise InvalidParameterError(
            f"overlap is {overlap}; it must be at most half of {limit}, the tokens of a passage"
        )
    return _passages(documents, encoder, limit, overlap)


def _passages(documents: Iterable[Document], encoder: TokenCounter, limit: int, overlap: int) -> Iterator[Document]:
    for document in documents:
        if not isinstance(document, Document):
            raise InvalidDocumentError(f"something of type {type(document).__name__} is among the documents")
        for number, text in enumerate(_split(document.text, encoder, limit, overlap), start=1):
            metadata = {"source": document.id, **document.metadata, "passage": number}
            yield Document(f"{document.id}#{number}", text, metadata)


def _split(text: str, encoder: TokenCounter, limit: int, overlap: int) -> list[str]:
    around = encoder.count_tokens([""])[0]
    if len(text) < limit * _CHARACTERS_A_TOKEN and encoder.count_tokens([text])[0] <= limit:
        return [text]
    pieces = _pieces(text, encoder, limit)
    lengths = [count - around for count in encoder.count_tokens([text[start:end] for start, end in pieces])]
    room = limit - around
    while True:
        runs = _runs(lengths, room, min(overlap, room // 2))
        passages = [text[pieces[first][0] : pieces[last][1]].strip() for first, last in runs]
        # Side by side, two pieces may have a token more than each by itself.
        excess = max(encoder.count_tokens(passages)) - limit
        if excess <= 0 or all(first == last for first, last in runs):
            return passages
        room -= excess


def _pieces(text: str, encoder: TokenCounter, limit: int) -> list[tuple[int, int]]:
    """Sentences with the white space behind them, as bounds; those too long in halves, and halves of these."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    pieces = [(a, b) for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if text[a:b].strip()]
    while True:
        counts = encoder.count_tokens([text[start:end] for start, end in pieces])
        if all(count <= limit or end - start == 1 for count, (start, end) in zip(counts, pieces, strict=True)):
            return pieces
        pieces = [
            part
            for count, (start, end) in zip(counts, pieces, strict=True)
            for part in ([(start, end)] if count <= limit or end - start == 1 else _halves(text, start, end))
        ]


def _halves(text: str, start: int, end: int) -> list[tuple[int, int]]:
    middle = (start + end) // 2
    space = re.search(r"\s(?=\S)", text[middle:end])
    cut = middle + space.end() if space and middle + space.end() < end else middle
    return [(a, b) for a, b in ((start, cut), (cut, end)) if text[a:b].strip()]


def _runs(lengths: Sequence[int], room: int, overlap: int) -> list[tuple[int, int]]:
    """First and last piece of each passage: as many as there is room for, the first few of them again from the last."""
    runs: list[tuple[int, int]] = []
    first = 0
    while True:
        last, used = first, lengths[first]
        # What was there already does not make a passage: the first new piece is in it whatever it takes.
        newest = runs[-1][1] + 1 if runs else 0
        while last + 1 < len(lengths) and (last < newest or used + lengths[last + 1] <= room):
            last += 1
            used += lengths[last]
        runs.append((first, last))
        if last + 1 == len(lengths):
            return runs
        first, repeated = last + 1, 0
        while (
            first - 1 > runs[-1][0]
            and repeated + lengths[first - 1] <= overlap
            and repeated + lengths[first - 1] + lengths[last + 1] <= room
        ):
            first -= 1
            repeated += lengths[first]
