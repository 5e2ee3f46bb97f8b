"""The ways to work a table out of what a model gave texts: those that are worth trying, by the figures in docs.

What is known of a token beside the texts that were learned from: its idf among the documents ("idf"), the mean weight
that the model gave it there ("documents"), or both. A number is how many texts that counts for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.deriving.texts import Corpus
from pixie_retrievers.encoder.inference_free.fitting import Observations, fit_expansions, fit_weights
from pixie_retrievers.encoder.inference_free.parts import Expansions, TableOrigin
from pixie_retrievers.encoder.inference_free.table import QueryTable
from pixie_retrievers.encoder.vocabulary import Vocabulary

__all__ = ["table_of", "ways"]


def ways(
    seen: Observations, corpus: Corpus, vocabulary: Vocabulary, *, expansions: bool = True
) -> Iterator[tuple[str, NDArray[np.float32], Expansions]]:
    """Every way that is tried: its name, weights and expansions.

    Args:
        seen: What was learned from.
        corpus: What is known of the documents' tokens.
        vocabulary: The model's.
        expansions: Try tables that add terms, too.
    """
    none = Expansions.none(seen.vectors.vocabulary_size)
    idf, weights = corpus.idf[:, None], corpus.weights[:, None]

    def fitted(known: NDArray[np.float64] | None, strength: float) -> NDArray[np.float32]:
        return _with_rare(fit_weights(seen, known, strength), seen, vocabulary)

    yield "mean", fitted(None, 2), none
    for strength in (2, 5, 10):
        yield f"idf-{strength}", fitted(idf, strength), none
    yield "documents-5", fitted(weights, 5), none
    both = fitted(np.concatenate([idf, weights], axis=1), 10)
    yield "both-10", both, none
    for most in (4, 16) if expansions else ():
        added = fit_expansions(seen, least_share=0.5, least_texts=5, most=most)
        if len(added.terms):
            yield f"both-10, {most} added", both, added


def table_of(encoder: Any, weights: NDArray[np.float32], expansions: Expansions, origin: TableOrigin) -> QueryTable:
    """Weights and expansions as a table that reads questions as an encoder does.

    Args:
        encoder: A :class:`~pixie_retrievers.PixieEncoder`.
        weights, expansions, origin: As for the table.
    """
    vocabulary, options = encoder.vocabulary, encoder.options
    return QueryTable(
        weights=weights,
        tokenizer=vocabulary.tokenizer,
        max_length=vocabulary.max_length,
        special_is_text=vocabulary.special_is_text,
        origin=origin,
        expansions=expansions,
        document_prompt=encoder.document_prompt,
        min_weight=options["min_weight"],
        max_active_terms=options["max_active_terms"],
    )


def _with_rare(weights: NDArray[np.float32], seen: Observations, vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Characters that have only bytes among the terms all weigh alike: what the model gives one says nothing of it."""
    terms, vectors = vocabulary.rare.term_ids, seen.vectors
    if len(terms):
        given = vectors.weights[vectors.literal & np.isin(vectors.term_ids, terms)]
        usual = float(given.mean()) / vocabulary.rare.share if len(given) else float(weights[weights > 0].mean())
        weights = weights.copy()
        weights[terms] = usual
    weights[list(vocabulary.special_ids)] = 0
    return weights
