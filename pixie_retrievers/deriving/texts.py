"""What a table takes from the documents: what is known of their tokens, and sentences where nobody gives questions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.base import Index
from pixie_retrievers.passages import sentences
from pixie_retrievers.types import Document

__all__ = ["Corpus", "read_corpus"]

_MOST_DOCUMENTS = 200_000  # more take minutes to read
_MOST_COUNTED = 20_000  # ... and tell nothing new of how words are spread
_SHORTEST, _LONGEST = 8, 200  # characters of what may stand for a question
_SENTENCES_A_DOCUMENT = 4
_TITLES = ("title", "heading", "name")


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """What was read of an index's documents.

    Attributes:
        sentences: Some sentences and titles.
        idf: float64, shape (vocabulary,): log(1 + (N - n + .5) / (n + .5)) of each token, n of N documents having it
            (Robertson and Sparck Jones 1976, as Lucene has it).
        weights: float64, shape (vocabulary,): what the model gave each token in the documents that have it, on average;
            0 where none has.
    """

    sentences: tuple[str, ...]
    idf: NDArray[np.float64]
    weights: NDArray[np.float64]


def read_corpus(index: Index, encoder: Any, n_sentences: int, rng: random.Random) -> Corpus:
    """Read an index from its beginning.

    Args:
        index: Sentences come from its first 200,000 documents, figures from its first 20,000.
        encoder: A PixieEncoder; says which tokens a document has; those that the model gave no weight are in no index.
        n_sentences: How many sentences and titles are wanted; there may be fewer.
        rng: Where chance comes from.
    """
    vocabulary, size = encoder.vocabulary, index.vocabulary_size
    counts, sums = np.zeros(size), np.zeros(size)
    n_documents = n_counted = n_seen = 0
    sample: list[str] = []
    for documents, vectors in index.scan():
        n_documents += len(documents)
        if n_counted < _MOST_COUNTED:
            n_counted += len(documents)
            readings = vocabulary.read([document.text for document in documents], encoder.document_prompt)
            terms = np.concatenate([reading.terms for reading in readings])
            counts += np.bincount(terms[terms < size], minlength=size)
            sums += np.bincount(vectors.term_ids[vectors.literal], vectors.weights[vectors.literal], minlength=size)
        elif not n_sentences:
            break
        for document in documents:
            for sentence in _sentences(document, rng) if n_sentences else ():
                n_seen += 1
                place = rng.randrange(n_seen)  # Vitter 1985, algorithm R
                if len(sample) < n_sentences:
                    sample.append(sentence)
                elif place < n_sentences:
                    sample[place] = sentence
        if n_documents >= _MOST_DOCUMENTS:
            break
    idf = np.log1p((n_counted - counts + 0.5) / (counts + 0.5))
    return Corpus(tuple(dict.fromkeys(sample)), idf, sums / np.maximum(counts, 1))


def _sentences(document: Document, rng: random.Random) -> list[str]:
    found = [one for one in sentences(document.text) if _SHORTEST <= len(one) <= _LONGEST]
    chosen = rng.sample(found, min(_SENTENCES_A_DOCUMENT, len(found)))
    titles = [document.metadata.get(name) for name in _TITLES]
    return chosen + [title for title in titles if isinstance(title, str) and 0 < len(title.strip()) <= _LONGEST]
