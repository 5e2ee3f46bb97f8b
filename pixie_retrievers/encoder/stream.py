"""Texts to vectors, piece by piece: the next texts are tokenised while the model works at these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pixie_retrievers.encoder.vocabulary import Reading, Vocabulary
from pixie_retrievers.types import SparseVectors

if TYPE_CHECKING:
    from pixie_retrievers.encoder.passes import Passes

__all__ = ["encode_stream"]

_READ_FIRST, _READ_AT_ONCE = 32, 256  # texts: a GPU waits for the first, and not for the others


def encode_stream(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    prompt: str,
    passes: Passes,
    *,
    min_weight: float,
    max_active_terms: int | None,
) -> Iterator[tuple[list[Reading], SparseVectors]]:
    """The vectors of texts, in order, and what the model read of each.

    Args:
        texts: Checked texts.
        vocabulary: The model's.
        prompt: What stands before each text.
        passes: The model.
        min_weight: Weights are strictly above this.
        max_active_terms: A text has at most so many; None for any number.

    Raises:
        InvalidVectorError: The model gave weights that are not finite.
        UnsafeModelError: The model's tokenizer breaks down at a text.
    """

    def finished(group: list[Reading], finish: Callable[[], SparseVectors]) -> tuple[list[Reading], SparseVectors]:
        vectors = vocabulary.rare.rewritten(
            finish(), [reading.rare for reading in group], min_weight=min_weight, max_active_terms=max_active_terms
        )
        vectors = vectors.with_literal([reading.terms for reading in group])
        if any(reading.cut for reading in group):
            vectors = replace(vectors, cut=np.array([reading.cut for reading in group], np.bool_))
        return group, vectors

    begun: tuple[list[Reading], Callable[[], SparseVectors]] | None = None
    for group in passes.groups(_read(texts, vocabulary, prompt)):
        started = group, passes.start(group)
        if begun is not None:
            yield finished(*begun)
        begun = started
    if begun is not None:
        yield finished(*begun)


def _read(texts: Sequence[str], vocabulary: Vocabulary, prompt: str) -> Iterator[list[Reading]]:
    """What the model reads of the texts: a piece ahead, in another thread, where there is more than one."""
    starts = [0, *range(min(_READ_FIRST, len(texts)), len(texts), _READ_AT_ONCE), len(texts)]
    pieces = [texts[start:stop] for start, stop in pairwise(starts) if start < stop]
    if len(pieces) < 2:
        yield from (vocabulary.read(piece, prompt) for piece in pieces)
        return
    with ThreadPoolExecutor(1, "pixie-tokenise") as pool:
        ahead = pool.submit(vocabulary.read, pieces[0], prompt)
        for piece in pieces[1:]:
            readings = ahead.result()
            ahead = pool.submit(vocabulary.read, piece, prompt)
            yield readings
        yield ahead.result()
