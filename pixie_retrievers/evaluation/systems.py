"""What is measured: sparse models over our own index, BM25, dense models, and fusions of their rankings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.packages import ANY_MODEL_PACKAGES, check_packages
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError, OptionalDependencyError
from pixie_retrievers.evaluation.collections import Collection
from pixie_retrievers.evaluation.metrics import DEPTH, Run
from pixie_retrievers.fusion import Ranked, fuse

__all__ = ["BM25_TOKENS", "Bm25System", "DenseSystem", "SparseSystem", "System", "fused"]

_QUERIES_AT_ONCE = 64
_DOCUMENTS_AT_ONCE = 1024


class System(Protocol):
    """Anything that ranks a collection's documents for its questions."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    def rank(self, collection: Collection, advance: Callable[[int], Any]) -> Run:
        """The best 100 documents of each question; ``advance`` counts documents as done."""
        ...


class SparseSystem:
    """A SPLADE model over a SqliteIndex, so that millions of passages fit: nothing is ever dense.

    Args:
        encoder: The model.
        devices: One encoding process for each; None encodes in this process.
    """

    def __init__(self, encoder: Encoder, *, name: str, devices: Sequence[str] | None = None) -> None:
        self.name = name
        self._encoder = encoder
        self._devices = devices

    def rank(self, collection: Collection, advance: Callable[[int], Any]) -> Run:
        from pixie_retrievers.index.sqlite.engine import SqliteIndex
        from pixie_retrievers.indexing import index_documents

        encoder = self._encoder
        run: dict[str, list[tuple[str, float]]] = {}
        with TemporaryDirectory(prefix="pixie-") as folder:
            path = Path(folder, "index.db")
            with SqliteIndex(path, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint) as index:
                index_documents(index, encoder, collection.documents(), devices=self._devices, advance=advance)
                ids = list(collection.queries)
                for start in range(0, len(ids), _QUERIES_AT_ONCE):
                    some = ids[start : start + _QUERIES_AT_ONCE]
                    vectors = encoder.encode_queries([collection.queries[id] for id in some])
                    for id, hits in zip(some, index.search(vectors, DEPTH), strict=True):
                        run[id] = [(hit.document.id, hit.score) for hit in hits]
        return run


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _word_tokens(text: str) -> list[str]:
    return _normal(text).split()


def _bigram_tokens(text: str) -> list[str]:
    return [
        word[start : start + 2]
        for word in re.findall(r"\w+", _normal(text))
        for start in range(max(1, len(word) - 1))  # a word of one character is its own token
    ]


BM25_TOKENS: Mapping[str, str] = {
    "word": "between spaces",
    "default": "words of two characters or more, English stop words and stems: the card's row",
    "bigram": "pairs of neighbouring characters inside each word",
}


class Bm25System:
    """BM25 by bm25s: Lucene's variant, k1 1.5, b 0.75.

    Args:
        tokens: One of :data:`BM25_TOKENS`.

    Raises:
        InvalidParameterError: There are no such tokens.
        OptionalDependencyError: The extra ``evaluation`` is not installed.
    """

    def __init__(self, tokens: str) -> None:
        if tokens not in BM25_TOKENS:
            known = ", ".join(BM25_TOKENS)
            raise InvalidParameterError(f"{tokens!r} is not a way to cut texts for BM25; choose one of {known}")
        try:
            import bm25s
            import Stemmer
        except ImportError as error:
            raise OptionalDependencyError.of(
                "BM25", "bm25s with PyStemmer", '"pixie-retrievers[evaluation]"'
            ) from error
        self.name = f"BM25 ({tokens})"
        self._bm25s = bm25s
        stemmer = Stemmer.Stemmer("english")

        def default(texts: list[str]) -> list[list[str]]:
            tokenised: list[list[str]] = bm25s.tokenize(
                texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
            )
            return tokenised

        one = {"word": _word_tokens, "bigram": _bigram_tokens}.get(tokens)
        self._tokenise: Callable[[list[str]], list[list[str]]] = (
            default if one is None else lambda texts: [one(text) for text in texts]
        )

    def rank(self, collection: Collection, advance: Callable[[int], Any]) -> Run:
        ids: list[str] = []
        tokens: list[list[str]] = []
        for group in _groups(collection):
            ids += [id for id, _ in group]
            tokens += self._tokenise([text for _, text in group])
            advance(len(group))
        model = self._bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        model.index(tokens, show_progress=False)
        del tokens
        run: dict[str, list[tuple[str, float]]] = {}
        asked = self._tokenise(list(collection.queries.values()))
        for query_id, query in zip(collection.queries, asked, strict=True):
            scores = model.get_scores(query) if query else np.zeros(len(ids), np.float32)
            run[query_id] = [(ids[n], float(scores[n])) for n in _best(scores) if scores[n] > 0]
        return run


class DenseSystem:
    """A dense model of sentence-transformers, by cosine; documents pass by a thousand at a time and none is kept.

    Args:
        model: A hub id or a folder. Code that comes with it is never run.
        device: As for PixieEncoder.

    Raises:
        OptionalDependencyError: The extra ``encoder`` is not installed.
        ModelUnavailableError: It cannot be loaded.
    """

    def __init__(self, model: str, *, device: str | None = None) -> None:
        check_packages(ANY_MODEL_PACKAGES)
        from sentence_transformers import SentenceTransformer

        self.name = Path(model).name if Path(model).is_dir() else model
        try:
            self._model = SentenceTransformer(
                model, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # whatever the hub and the parsers raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelUnavailableError(
                f"the dense model {model!r} could not be loaded ({reason}): pass a model's id on the hub, or its folder"
            ) from error

    def rank(self, collection: Collection, advance: Callable[[int], Any]) -> Run:
        options: dict[str, Any] = {"normalize_embeddings": True, "show_progress_bar": False}
        queries = np.asarray(self._model.encode_query(list(collection.queries.values()), **options), np.float32)
        best: list[list[tuple[str, float]]] = [[] for _ in collection.queries]
        for group in _groups(collection):
            documents = np.asarray(self._model.encode_document([text for _, text in group], **options), np.float32)
            for found, scores in zip(best, queries @ documents.T, strict=True):
                found += [(group[n][0], float(scores[n])) for n in _best(scores)]
                found.sort(key=lambda hit: -hit[1])  # stable: of equal ones the earlier document stays ahead
                del found[DEPTH:]
            advance(len(group))
        return dict(zip(collection.queries, best, strict=True))


def fused(runs: Mapping[str, Run]) -> Run:
    """Rankings joined by reciprocal ranks, question by question."""
    return {
        id: [
            (item.id, item.score)
            for item in fuse(
                {name: [Ranked(doc, doc, score) for doc, score in run.get(id, ())] for name, run in runs.items()},
                k=DEPTH,
            )
        ]
        for id in next(iter(runs.values()))
    }


def _groups(collection: Collection) -> Iterator[list[tuple[str, str]]]:
    documents = collection.documents()
    while group := [(document.id, document.text) for document in islice(documents, _DOCUMENTS_AT_ONCE)]:
        yield group


def _best(scores: Any) -> Any:
    """Positions of the 100 largest scores, best first; of equal ones the earlier."""
    if len(scores) > DEPTH:
        candidates = np.flatnonzero(scores >= np.partition(scores, -DEPTH)[-DEPTH])
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:DEPTH]
