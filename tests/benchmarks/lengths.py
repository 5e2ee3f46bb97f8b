"""Documents whose texts have a chosen length: passages joined and cut, encoded by the bundled model, and grown.

A text is a run of passages, in the order of their collection, from a random one on. Lengths in tokens are on average 4%
shorter than asked for, because each passage is counted with the special tokens that it would have alone. Some hundreds
of such texts are encoded; further vectors grow out of theirs as in :mod:`vectors`. A search reads the texts of the
documents that it returns and no other's, so of the longer texts only those are stored whole that one of the queries may
find: a million documents of 100,000 characters would fill a disk, and tell nothing more.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from vectors import cached, grown

import pixie_retrievers
from pixie_retrievers.types import Document, SparseVectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixie_retrievers import PixieEncoder

__all__ = ["Length", "Sized", "sized"]

_SEED = 20_261_127
_SHORT = 600  # characters; a text of no more is stored with every document
_ROWS = 100_000
_JOINT = "\n\n"


@dataclass(frozen=True)
class Length:
    """How long texts are.

    Attributes:
        amount: How many of the units.
        unit: "tokens" of the bundled model, or "characters".
    """

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Length:
        """From ``115t`` (tokens) or ``100000c`` (characters).

        Raises:
            ValueError: It is neither.
        """
        found = re.fullmatch(r"(\d+)([tc])", text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a length: write 115t for tokens, 100000c for characters")
        return cls(int(found[1]), {"t": "tokens", "c": "characters"}[found[2]])

    def __str__(self) -> str:
        return f"{self.amount:,} {self.unit}"


@dataclass(frozen=True)
class Sized:
    """Documents with texts of one length.

    Attributes:
        length: How long the texts are.
        vectors: One a document.
        texts: Those that were encoded; document i has number i modulo their number.
        whole: The positions of the documents whose texts are stored whole; None for all.
        key: Changes with anything that the vectors or texts depend on.
    """

    length: Length
    vectors: SparseVectors
    texts: list[str]
    whole: frozenset[int] | None
    key: str

    def __len__(self) -> int:
        return len(self.vectors)

    def document(self, position: int) -> Document:
        """The document at a position."""
        text = self.texts[position % len(self.texts)]
        return Document(str(position), text if self.is_whole(position) else text[:_SHORT], {"n": position})

    def is_whole(self, position: int) -> bool:
        """Whether its text is stored whole."""
        return self.whole is None or position in self.whole


def sized(
    length: Length,
    n: int,
    passages: Sequence[str],
    queries: SparseVectors,
    *,
    encoder: PixieEncoder,
    n_encoded: int,
    depth: int,
    cache: Path,
) -> Sized:
    """A set of n documents.

    Args:
        length: How long their texts are.
        n: How many.
        passages: What the texts are joined from.
        queries: What will be asked.
        encoder: The bundled model.
        n_encoded: How many texts are encoded; the rest grows.
        depth: How many documents a query may return.
        cache: Where vectors are kept.
    """
    texts = _joined(passages, length, n_encoded)
    key = hashlib.sha256(json.dumps([encoder.fingerprint, texts]).encode()).hexdigest()[:12]
    seeds = cached(cache / f"texts-{key}.npz", lambda: encoder.encode_documents(texts, show_progress=True))
    vectors = cached(cache / f"texts-{key}-{n}.npz", lambda: grown(seeds, n)) if n > len(seeds) else seeds[:n]
    short = max(map(len, texts)) <= _SHORT
    whole = None if short else _found(vectors, queries, 2 * depth)  # twice: scores here are rounded otherwise
    return Sized(length, vectors, texts, whole, key)


def _joined(passages: Sequence[str], length: Length, n: int) -> list[str]:
    starts = np.random.default_rng(_SEED).permutation(max(n, len(passages)))[:n] % len(passages)
    tokenizer = _tokenizer() if length.unit == "tokens" else None

    def size_of(passage: str) -> int:
        return len(passage if tokenizer is None else tokenizer.encode(passage).ids)

    texts = []
    for start in starts.tolist():
        parts, size, position = [], 0, start
        while size < length.amount:
            parts.append(passages[position])
            size += size_of(passages[position])
            position = (position + 1) % len(passages)
        text = _JOINT.join(parts)
        if tokenizer is None:
            end = length.amount
        else:
            offsets = tokenizer.encode(text, add_special_tokens=False).offsets
            end = offsets[min(length.amount, len(offsets)) - 1][1]
        texts.append(text[:end])
    return texts


def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    folder = Path(pixie_retrievers.__file__).parent
    return Tokenizer.from_file(str(next(folder.rglob("tokenizer.json"))))


def _found(documents: SparseVectors, queries: SparseVectors, depth: int) -> frozenset[int]:
    """The positions of the best documents of every query, by brute force, each block of rows on its own."""
    columns = queries.to_scipy().T.tocsc()
    scores, positions = [], []
    for start in range(0, len(documents), _ROWS):
        block = (documents[start : start + _ROWS].to_scipy() @ columns).toarray()
        best = np.argpartition(-block, min(depth, len(block)) - 1, axis=0)[:depth]
        scores.append(np.take_along_axis(block, best, axis=0))
        positions.append(best + start)
    all_scores, all_positions = np.concatenate(scores), np.concatenate(positions)
    best = np.argsort(-all_scores, axis=0, kind="stable")[:depth]
    return frozenset(np.take_along_axis(all_positions, best, axis=0).ravel().tolist())
