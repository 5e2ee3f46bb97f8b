"""QueryTable: a weight for every token of a question, and what a token adds, in place of a model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.inference_free.parts import Expansions, TableOrigin
from pixie_retrievers.encoder.inference_free.table_file import (
    damage_named,
    decode_parts,
    encode_parts,
    read_file,
    write_whole,
)
from pixie_retrievers.encoder.spelling import TokenizerDescription
from pixie_retrievers.encoder.vocabulary import Reading, Vocabulary
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.types import MAX_WEIGHT, RaisedBy, SparseVectors

__all__ = ["QueryTable"]

_MOST_TERMS = 1 << 20


@dataclass(frozen=True, eq=False, repr=False)
class QueryTable:
    """What a question's tokens weigh, without asking a model.

    In the field's words: inference-free queries (Geng et al. 2024, "Towards Competitive Search Relevance For
    Inference-Free Learned Sparse Retrievers"); here the weights are read off a model that was not trained for it.

    Attributes:
        weights: float32, shape (vocabulary,): of every token where a question has it; 0 leaves it out.
        tokenizer: The model's.
        max_length: Where questions are cut, in tokens.
        special_is_text: What looks like a special token in a text is text.
        origin: Where it comes from.
        expansions: What tokens add.
        document_prompt: What stands before a document when the model reads it.
        min_weight: Weights stay strictly above this.
        max_active_terms: A question keeps at most so many terms; None keeps all.
    """

    weights: NDArray[np.float32]
    tokenizer: TokenizerDescription
    max_length: int
    special_is_text: bool
    origin: TableOrigin
    expansions: Expansions = field(default=None)  # type: ignore[assignment]  # never None once made
    document_prompt: str = ""
    min_weight: float = 0.0
    max_active_terms: int | None = None

    def __post_init__(self) -> None:
        if self.expansions is None:
            object.__setattr__(self, "expansions", Expansions.none(len(self.weights)))
        if not self._is_sound():
            raise InvalidParameterError("the query table's weights and expansions are not what they should be")

    def __repr__(self) -> str:
        return f"QueryTable({len(self.weights)} terms, {self.fingerprint})"

    def _is_sound(self) -> bool:
        weights, expansions, size = self.weights, self.expansions, len(self.weights)
        counts = np.diff(expansions.starts)
        return (
            0 < size <= _MOST_TERMS
            and self.max_length > 0
            and weights.dtype == np.float32
            and bool(np.isfinite(weights).all() and (weights >= 0).all() and (weights <= MAX_WEIGHT).all())
            and expansions.starts.shape == (size + 1,)
            and int(expansions.starts[0]) == 0
            and int(expansions.starts[-1]) == len(expansions.terms) == len(expansions.weights)
            and bool((counts >= 0).all())
            and bool((expansions.terms >= 0).all() and (expansions.terms < size).all())
            and bool((expansions.weights > 0).all() and (expansions.weights <= MAX_WEIGHT).all())
        )

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The terms, read with ``tokenizers`` alone."""
        return Vocabulary(
            self.tokenizer,
            size=len(self.weights),
            max_length=self.max_length,
            special_is_text=self.special_is_text,
        )

    @cached_property
    def sha256(self) -> str:
        """16 hexadecimal digits over weights and expansions: equal ones give equal vectors for a model's tokens."""
        digest = hashlib.sha256()
        for array in (self.weights, self.expansions.starts, self.expansions.terms, self.expansions.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """The identity of these queries: compact JSON with sorted keys."""
        said = {
            "inference_free": self.sha256,
            "texts": self.origin.n_texts,
            "source": self.origin.source,
            "method": self.origin.method,
            "created": self.origin.created,
            "overlap_at_10": self.origin.overlap,
        }
        return json.dumps(
            {name: value for name, value in said.items() if value is not None},
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
        )

    def encode(self, texts: Sequence[str]) -> SparseVectors:
        """One vector a text; the terms that the text itself has are literal.

        Raises:
            UnsafeModelError: The tokenizer panics at a text.
        """
        vocabulary = self.vocabulary
        readings = vocabulary.read(texts)
        rows = [self._row(vocabulary, reading) for reading in readings]
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(terms) for terms, _ in rows], out=indptr[1:])
        vectors = SparseVectors(
            indptr,
            np.concatenate([terms for terms, _ in rows] or [np.zeros(0, np.int32)]),
            np.concatenate([weights for _, weights in rows] or [np.zeros(0, np.float32)]),
            len(self.weights),
        )
        vectors = vocabulary.rare.rewritten(
            vectors,
            [reading.rare for reading in readings],
            min_weight=self.min_weight,
            max_active_terms=self.max_active_terms,
        )
        return vectors.with_literal([reading.terms for reading in readings])

    def _row(self, vocabulary: Vocabulary, reading: Reading) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The terms of one text and their weights, ascending; rare characters as their bytes."""
        terms = vocabulary.tokens_of(reading)
        weights = self.weights[terms]
        if len(self.expansions.terms):
            added, of_added = self.expansions.of(terms)
            new = ~np.isin(added, terms)
            terms, weights = np.concatenate([terms, added[new]]), np.concatenate([weights, of_added[new]])
            order = np.argsort(terms)
            terms, weights = terms[order], weights[order]
        kept = weights > self.min_weight
        if self.max_active_terms is not None and int(kept.sum()) > self.max_active_terms:
            strongest = np.argsort(-np.where(kept, weights, 0), kind="stable")[: self.max_active_terms]
            kept = np.zeros(len(terms), np.bool_)
            kept[strongest] = True
        return terms[kept], weights[kept]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table, with its tokenizer, to one safetensors file; one that is there is replaced.

        Raises:
            StorageError: It cannot be written.
        """
        write_whole(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QueryTable:
        """A table that was saved.

        Raises:
            StorageError: The file cannot be read.
            CorruptIndexError: It is not a table, or a damaged one.
            IncompatibleIndexError: A newer version wrote it.
        """
        return cls.from_bytes(read_file(Path(path)))

    def to_bytes(self) -> bytes:
        """As one safetensors file, with the tokenizer."""
        said = ("max_length", "special_is_text", "document_prompt", "min_weight", "max_active_terms")
        return encode_parts(
            self.weights, self.expansions, self.tokenizer, self.origin, {name: getattr(self, name) for name in said}
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> QueryTable:
        """Read a table back, and believe nothing that it says.

        Raises:
            CorruptIndexError: It is not a table, or says what cannot be.
            IncompatibleIndexError: A newer version wrote it.
            OptionalDependencyError: The extra ``inference-free`` is not installed.
        """
        with damage_named():
            table = cls(**decode_parts(content))
            table.vocabulary.read(["시험"])
            return table

    def raised_by(self, text: str, term_ids: Sequence[int]) -> dict[int, RaisedBy]:
        """Which of a question's tokens gave it each of some terms; terms without a weight are not in the result.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
            UnsafeModelError: The tokenizer panics at the text.
        """
        vocabulary = self.vocabulary
        ids, spans, _ = vocabulary.located(text)
        found: dict[int, RaisedBy] = {}
        for term in [int(term) for term in dict.fromkeys(term_ids) if not vocabulary.is_rare(term)]:
            given = [self._given(token, term) if not (term in ids and token != term) else 0.0 for token in ids]
            weight = max(given, default=0.0)
            if weight > self.min_weight:
                position = given.index(weight)
                span = spans[position]
                by = vocabulary.surfaces([ids[position]])[0] if span is None else text[slice(*span)]
                found[term] = RaisedBy(term, weight, by, span)
        return found

    def _given(self, token: int, term: int) -> float:
        """The weight that a token gives a question for a term: its own, or one that it adds."""
        if token >= len(self.weights) or token in self.tokenizer.special_ids:
            return 0.0
        if token == term:
            return float(self.weights[term])
        row = slice(*self.expansions.starts[token : token + 2].tolist())
        (places,) = (self.expansions.terms[row] == term).nonzero()
        return float(self.expansions.weights[row][places[0]]) if len(places) else 0.0
