from __future__ import annotations

import zlib
from threading import Event
from typing import TYPE_CHECKING

import pytest

from pixie_retrievers.types import SparseVectors

if TYPE_CHECKING:
    from collections.abc import Sequence

VOCABULARY_SIZE = 5_000


class WordEncoder:
    """Every word is a term, and weighs how often it stands in the text: scores can be counted by hand."""

    vocabulary_size = VOCABULARY_SIZE
    fingerprint = "words"

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.gate = Event()  # cleared by a test that wants an encoding to take until it says so
        self.gate.set()
        self.waiting = Event()

    def _term(self, word: str) -> int:
        term = zlib.crc32(word.encode()) % VOCABULARY_SIZE
        assert self.names.setdefault(term, word) == word, "two test words share a term; change one"
        return term

    def _encode(self, texts: Sequence[str]) -> SparseVectors:
        self.waiting.set()
        assert self.gate.wait(timeout=20), "nobody opened the gate: the event loop was blocked"
        rows: list[dict[int, float]] = []
        for text in texts:
            row: dict[int, float] = {}
            for word in text.split():
                row[self._term(word)] = row.get(self._term(word), 0.0) + 1.0
            rows.append(row)
        vectors = SparseVectors.from_dicts(rows, VOCABULARY_SIZE)
        return vectors.with_literal(rows)  # a word is itself and stands for nothing else

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        return self._encode(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> SparseVectors:
        return self._encode(texts)

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        return [self.names.get(term, f"#{term}") for term in term_ids]

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        return self.tokens(term_ids)


@pytest.fixture
def words() -> WordEncoder:
    return WordEncoder()
