"""Characters that a tokenizer has no piece for, and writes as bytes: terms of their own instead of those of the bytes.

Every emoji begins with the same bytes, so that by its bytes an apple is three quarters of a pot. What a byte's term
means by itself is nothing; here each character gets three of these terms by its hash, and counts as two terms, whatever
its bytes are. docs/encoder.md has the figures that both numbers come from.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.types import SparseVectors

__all__ = ["RareCharacters"]

_TERMS = 3  # of 128: few characters share one with a given character, next to none share two
_SHARE = math.sqrt(2 / _TERMS)  # so many products add up to two


class RareCharacters:
    """What stands for characters outside a vocabulary with byte pieces ("<0xEC>").

    Args:
        token_to_id: The term of a piece, or None.
    """

    def __init__(self, token_to_id: Callable[[str], int | None]) -> None:
        ids = {byte: token_to_id(f"<0x{byte:02X}>") for byte in range(0x80, 0x100)}
        self._bytes = {id: byte for byte, id in ids.items() if id is not None}
        self._terms = np.array(sorted(self._bytes), np.int32)
        self._is_byte = np.zeros(1 + max(self._bytes, default=0), np.bool_)
        self._is_byte[self._terms] = True

    @property
    def term_ids(self) -> NDArray[np.int32]:
        """The terms that are bytes, ascending; empty for a vocabulary without byte pieces."""
        return self._terms

    @property
    def share(self) -> float:
        """What part of a character's weight each of its terms has."""
        return _SHARE

    def __contains__(self, term_id: object) -> bool:
        return term_id in self._bytes

    def among(self, ids: NDArray[np.int32]) -> Mapping[str, tuple[int, ...]]:
        """The rare characters of a text, each with the terms of its bytes.

        Args:
            ids: The text's tokens; a character that the last of them leaves unfinished is not there.
        """
        if not self._has_bytes(ids):
            return {}
        terms = {byte: id for id, byte in self._bytes.items()}
        characters = {character for _, _, character in self.spelled(ids.tolist()) if character}
        return {c: tuple(terms[byte] for byte in c.encode()) for c in sorted(characters)}

    def spelled(self, ids: Iterable[int]) -> Iterator[tuple[int, int, str]]:
        """The tokens that spell a character in bytes: from which to which, and the character.

        Args:
            ids: The text's tokens; for a character that the last of them leaves unfinished, the character is empty.
        """
        if len(self._terms) == 0x80:
            written = bytes(self._bytes.get(id, 0) for id in ids)
            for match in re.finditer(rb"[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf]+", written):
                yield match.start(), match.end(), match[0].decode("utf-8", "ignore")

    def terms(self, character: str) -> list[int]:
        """The terms that stand for a character."""
        digest = hashlib.blake2b(character.encode(), digest_size=32).digest()
        return [int(self._terms[n]) for n in dict.fromkeys(byte % len(self._terms) for byte in digest)][:_TERMS]

    def literal(self, ids: NDArray[np.int32], characters: Iterable[str]) -> NDArray[np.int32]:
        """The terms that a text is made of, rare characters as their own terms."""
        if not self._has_bytes(ids):
            return ids
        others = [id for id in ids.tolist() if id not in self._bytes]
        own = [term for character in characters for term in self.terms(character)]
        return np.unique(np.array(others + own, np.int32))

    def _has_bytes(self, ids: NDArray[np.int32]) -> bool:
        return bool(self._is_byte[np.minimum(ids, len(self._is_byte) - 1)].any())

    def rewritten(
        self,
        vectors: SparseVectors,
        characters: Sequence[Mapping[str, tuple[int, ...]]],
        *,
        min_weight: float,
        max_active_terms: int | None,
    ) -> SparseVectors:
        """The vectors with the rare characters' own terms in place of their bytes'.

        Args:
            vectors: As the model gave them.
            characters: What :meth:`among` said of each text.
            min_weight: Weights stay strictly above this.
            max_active_terms: A text keeps at most so many terms; None keeps all.
        """
        touched = np.isin(vectors.term_ids, self._terms)
        if not touched.any():
            return vectors
        rows = np.unique(np.searchsorted(vectors.indptr, touched.nonzero()[0], side="right") - 1).tolist()
        parts, start = [], 0
        for row in rows:
            (weights,) = vectors[row].to_dicts()
            changed = {term: weight for term, weight in weights.items() if term not in self._bytes}
            for character, of_bytes in characters[row].items():
                weight = _SHARE * max(weights.get(term, 0.0) for term in of_bytes)
                if weight > min_weight:
                    changed |= {term: max(weight, changed.get(term, 0.0)) for term in self.terms(character)}
            if max_active_terms is not None:
                changed = dict(sorted(changed.items(), key=lambda item: (-item[1], item[0]))[:max_active_terms])
            parts += [vectors[start:row], SparseVectors.from_dicts([changed], vectors.vocabulary_size)]
            start = row + 1
        return SparseVectors.concatenate([*parts, vectors[start:]], vectors.vocabulary_size)
