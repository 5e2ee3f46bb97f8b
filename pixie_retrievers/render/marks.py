"""A text as it is shown: on one line, with marks where tokens stand, cut to the passage with the strongest of them.

Marks come from the tokenizer's spans alone. Where there are none, as in an explanation that came from another process
(its names travel, the tokenizer does not), nothing is marked: a token's letters may stand in a text where it does not.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from pixie_retrievers.render.words import printable
from pixie_retrievers.types import Explanation, Span, TextExplanation

__all__ = ["Mark", "MarkedText", "Piece"]


class Mark(NamedTuple):
    """A stretch with tokens of one or of both kinds; a token that raised others is marked though it is not shared."""

    start: int
    stop: int
    weight: float
    literal: bool
    raised: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text that looks the same from end to end.

    Attributes:
        text: The stretch.
        literal: A token stands here.
        raised: A token here raised one that the text is not made of.
        strength: From 0 to 1, the strongest mark of the text.
        read: The model reads it.
    """

    text: str
    literal: bool = False
    raised: bool = False
    strength: float = 0.0
    read: bool = True


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text on one line.

    Attributes:
        text: With nothing in it that a terminal would obey.
        marks: Ascending, without overlaps.
        unread: The stretches that the model does not read.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    unread: tuple[Span, ...] = ()

    @classmethod
    def of_document(cls, text: str, begin: int, explanation: Explanation | None) -> MarkedText:
        """A document's text from a position on, with the tokens that an explanation shows."""
        spans = None if explanation is None else explanation.spans()
        if explanation is None or spans is None:
            return cls(printable(text[begin:]))
        raised = explanation.raised_by or {}
        marks = [
            Mark(*span, item.contribution, True, False)
            for item in explanation.contributions
            if item.in_document
            for span in spans.of(item.token_id)
        ]
        marks += [
            Mark(*by.span, item.contribution, False, True)
            for item in explanation.contributions
            if (by := raised.get(item.token_id)) is not None and by.span is not None
        ]
        return cls._moved(text, begin, marks, spans.unread)

    @classmethod
    def of_text(cls, told: TextExplanation) -> MarkedText:
        """A text with the tokens that the model made of it."""
        marks = [Mark(*span, token.weight, True, False) for token in told.tokens for span in token.spans]
        marks += [
            Mark(*token.raised_by.span, token.weight, False, True)
            for token in told.tokens
            if token.raised_by is not None and token.raised_by.span is not None
        ]
        start, stop = told.read or (0, len(told.text))
        return cls._moved(told.text, 0, marks, ((0, start), (stop, len(told.text))))

    @classmethod
    def _moved(cls, text: str, begin: int, marks: Iterable[Mark], unread: Iterable[Span]) -> MarkedText:
        """From positions in a text to those in the one line that is shown of it."""
        words = [(match.start(), match.end()) for match in re.finditer(r"\S+", text[begin:])]
        starts = [begin + start for start, _ in words]
        lengths = [stop - start for start, stop in words]
        places = list(accumulate((length + 1 for length in lengths), initial=0))

        def place(position: int) -> int:
            word = bisect_right(starts, position) - 1
            return 0 if word < 0 else places[word] + min(position - starts[word], lengths[word])

        moved = [mark._replace(start=place(mark.start), stop=place(mark.stop)) for mark in marks]
        stretches = [(place(start), place(stop)) for start, stop in unread]
        return cls(
            printable(text[begin:]),
            tuple(_without_overlaps(mark for mark in moved if mark.start < mark.stop)),
            tuple(stretch for stretch in stretches if stretch[0] < stretch[1]),
        )

    @property
    def n_unread(self) -> int:
        """How many of its characters the model does not read."""
        return sum(stop - start for start, stop in self.unread)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
        """The text, or a passage of it, from piece to piece."""
        stop = len(self.text) if stop is None else stop
        strongest = max((mark.weight for mark in self.marks), default=0.0) or 1.0
        position = start
        for mark in self.marks[bisect_right([m.stop for m in self.marks], start) :]:
            if mark.start >= stop:
                break
            yield from self._plain(position, max(position, mark.start))
            position = min(stop, mark.stop)
            first = max(start, mark.start)
            yield Piece(self.text[first:position], mark.literal, mark.raised, mark.weight / strongest)
        yield from self._plain(position, stop)

    def _plain(self, start: int, stop: int) -> Iterator[Piece]:
        bounds = sorted({start, stop, *(at for stretch in self.unread for at in stretch if start < at < stop)})
        for low, high in pairwise(bounds):
            yield Piece(self.text[low:high], read=not any(a <= low < b for a, b in self.unread))

    def passage(self, max_characters: int | None) -> Span:
        """The stretch of at most so many characters with the strongest tokens, cut between words where it can be."""
        text, marks = self.text, self.marks
        if max_characters is None or len(text) <= max_characters:
            return 0, len(text)
        sentences = {0, *(match.end() for match in re.finditer(r"[.!?…] ", text))}
        half = max_characters // 2
        words = set()
        for mark in marks:
            ahead = max(0, mark.start - 20)
            word = text.rfind(" ", max(0, mark.start - half), ahead) + 1
            words.add(word if mark.start - word < half else ahead)  # not where words have no end
        starts, stops = [mark.start for mark in marks], [mark.stop for mark in marks]
        # Sums up to each token, of which a stretch's is a difference: rounded, so that equal ones stay equal.
        sums = list(accumulate((mark.weight for mark in marks), initial=0.0))

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


def _without_overlaps(marks: Iterable[Mark]) -> Iterator[Mark]:
    """The marks cut where others begin or end; what several cover has their weights together."""
    edges: dict[int, list[tuple[int, Mark]]] = {}
    for mark in marks:
        edges.setdefault(mark.start, []).append((1, mark))
        edges.setdefault(mark.stop, []).append((-1, mark))
    n_literal = n_raised = 0
    covering: dict[Mark, int] = {}
    positions = sorted(edges)
    for start, stop in pairwise(positions):
        for sign, mark in edges[start]:
            covering[mark] = covering.get(mark, 0) + sign
            if not covering[mark]:
                del covering[mark]
            n_literal += sign * mark.literal
            n_raised += sign * mark.raised
        if covering:
            weight = sum(mark.weight * n for mark, n in covering.items())
            yield Mark(start, stop, weight, n_literal > 0, n_raised > 0)
