"""What a table is learned from where nobody gives questions: sentences and titles of the documents, and their words."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.base import Index
from pixie_retrievers.passages import sentences
from pixie_retrievers.types import Document

__all__ = ["Corpus", "read_corpus"]

_MOST_DOCUMENTS = 200_000  # more tell nothing new of words' frequencies, and take minutes to read
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
    """

    sentences: tuple[str, ...]
    idf: NDArray[np.float64]


def read_corpus(index: Index, n_sentences: int, rng: random.Random) -> Corpus:
    """Read an index from its beginning, 200,000 documents at most.

    Args:
        index: The index.
        n_sentences: How many sentences and titles are wanted; there may be fewer.
        rng: Where chance comes from.
    """
    counts = np.zeros(index.vocabulary_size, np.int64)
    n_documents = 0
    sample: list[str] = []
    n_seen = 0
    for documents, vectors in index.scan():
        counts += np.bincount(vectors.term_ids[vectors.literal], minlength=index.vocabulary_size)
        n_documents += len(documents)
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
    idf = np.log1p((n_documents - counts + 0.5) / (counts + 0.5))
    return Corpus(tuple(dict.fromkeys(sample)), idf)


def _sentences(document: Document, rng: random.Random) -> list[str]:
    found = [one for one in sentences(document.text) if _SHORTEST <= len(one) <= _LONGEST]
    chosen = rng.sample(found, min(_SENTENCES_A_DOCUMENT, len(found)))
    titles = [document.metadata.get(name) for name in _TITLES]
    return chosen + [title for title in titles if isinstance(title, str) and 0 < len(title.strip()) <= _LONGEST]
