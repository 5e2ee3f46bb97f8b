"""Texts to vectors: documents piece by piece, the next tokenised while the model works at these; questions at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pixie_retrievers.encoder.forward import Kind, prompt_of
from pixie_retrievers.encoder.sparsify import sparsify
from pixie_retrievers.encoder.vocabulary import Reading, Vocabulary
from pixie_retrievers.types import SparseVectors

if TYPE_CHECKING:
    from pixie_retrievers.encoder.passes import Passes
    from pixie_retrievers.encoder.turns import Turns

__all__ = ["TextStream", "streams_of"]

_READ_FIRST, _READ_AT_ONCE = 32, 256  # texts: a GPU waits for the first, and not for the others
_MOST_QUESTIONS = 64  # more than anybody asks at once, and waits for

_Encoded = tuple[list[Reading], SparseVectors]


class TextStream:
    """The way from texts of one kind to vectors.

    Args:
        vocabulary: The model's.
        prompt: What stands before each text.
        passes: The model.
        turns: Where the model is asked for.
        threads: What a few questions are computed in, given how many tokens they are.
        min_weight: Weights are strictly above this.
        max_active_terms: A text has at most so many; None for any number.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: str,
        passes: Passes,
        turns: Turns,
        threads: Callable[[int], AbstractContextManager[object]],
        *,
        min_weight: float,
        max_active_terms: int | None,
    ) -> None:
        self._vocabulary = vocabulary
        self._prompt = prompt
        self.passes = passes
        self._turns = turns
        self._threads = threads
        self._min_weight = min_weight
        self._max_active_terms = max_active_terms

    def documents(self, texts: Sequence[str]) -> Iterator[_Encoded]:
        """What the model read of texts, and their vectors, in order, a part as soon as it is computed.

        Args:
            texts: Checked texts.

        Raises:
            InvalidVectorError: The model gave weights that are not finite.
            UnsafeModelError: The model's tokenizer breaks down at a text.
        """
        begun: tuple[list[Reading], Callable[[], SparseVectors]] | None = None
        for group in self.passes.groups(self._read(texts)):
            started = group, self.passes.start(group, self._turns)
            if begun is not None:
                yield self._finished(begun[0], begun[1]())
            begun = started
        if begun is not None:
            yield self._finished(begun[0], begun[1]())

    def questions(self, texts: Sequence[str]) -> Iterator[_Encoded]:
        """As :meth:`documents`, but a few texts go before any documents, and with other threads' questions.

        Args:
            texts: Checked texts.

        Raises:
            InvalidVectorError, UnsafeModelError: As there.
        """
        if len(texts) > _MOST_QUESTIONS:
            yield from self.documents(texts)
        elif texts:
            readings = self._vocabulary.read(texts, self._prompt)
            yield self._finished(readings, self._turns.ask(readings, self._answer))

    def _answer(self, readings: list[Reading]) -> SparseVectors:
        with self._threads(sum(reading.n_tokens for reading in readings)):
            parts = [self.passes.start(group)() for group in self.passes.groups(iter([readings]))]
        return parts[0] if len(parts) == 1 else SparseVectors.concatenate(parts, self._vocabulary.size)

    def _finished(self, readings: list[Reading], vectors: SparseVectors) -> _Encoded:
        vectors = self._vocabulary.rare.rewritten(
            vectors,
            [reading.rare for reading in readings],
            min_weight=self._min_weight,
            max_active_terms=self._max_active_terms,
        )
        vectors = vectors.with_literal([reading.terms for reading in readings])
        if any(reading.cut for reading in readings):
            vectors = replace(vectors, cut=np.array([reading.cut for reading in readings], np.bool_))
        return readings, vectors

    def _read(self, texts: Sequence[str]) -> Iterator[list[Reading]]:
        """What the model reads of the texts: a piece ahead, in another thread, where there is more than one."""
        starts = [0, *range(min(_READ_FIRST, len(texts)), len(texts), _READ_AT_ONCE), len(texts)]
        pieces = [texts[start:stop] for start, stop in pairwise(starts) if start < stop]
        if len(pieces) < 2:
            yield from (self._vocabulary.read(piece, self._prompt) for piece in pieces)
            return
        with ThreadPoolExecutor(1, "pixie-tokenise") as pool:
            ahead = pool.submit(self._vocabulary.read, pieces[0], self._prompt)
            for piece in pieces[1:]:
                readings = ahead.result()
                ahead = pool.submit(self._vocabulary.read, piece, self._prompt)
                yield readings
            yield ahead.result()


def streams_of(
    model: Any,
    vocabulary: Vocabulary,
    turns: Turns,
    *,
    min_weight: float,
    max_active_terms: int | None,
    max_batch_tokens: int,
) -> dict[Kind, TextStream]:
    """The ways of a loaded model's questions and documents.

    Args:
        model: A ``SparseEncoder`` as it was loaded and changed.
        vocabulary: The model's.
        turns, min_weight, max_active_terms: As for :class:`TextStream`.
        max_batch_tokens: How many tokens go through the model at once.
    """
    from pixie_retrievers.encoder.passes import passes_of
    from pixie_retrievers.encoder.threads import question_threads

    threads = question_threads(str(model.device))

    keep = partial(
        sparsify, special_ids=vocabulary.special_ids, min_weight=min_weight, max_active_terms=max_active_terms
    )
    return {
        kind: TextStream(
            vocabulary,
            prompt_of(model, kind),
            passes,
            turns,
            threads,
            min_weight=min_weight,
            max_active_terms=max_active_terms,
        )
        for kind, passes in passes_of(model, vocabulary, keep, max_batch_tokens=max_batch_tokens).items()
    }
