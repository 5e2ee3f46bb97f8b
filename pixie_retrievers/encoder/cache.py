"""The vectors of the latest queries, so that a query asked again costs nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from pixie_retrievers.types import SparseVectors

__all__ = ["VectorCache"]


class VectorCache:
    """Keeps at most so many vectors, the latest used. Safe to use from many threads.

    Args:
        max_vectors: 0 keeps none. A vector of 700 terms takes 6 kB.
    """

    def __init__(self, max_vectors: int) -> None:
        self._max_vectors = max_vectors
        self._kept: OrderedDict[str, SparseVectors] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, texts: Sequence[str], encode: Callable[[list[str]], SparseVectors], vocabulary_size: int
    ) -> SparseVectors:
        """One vector a text: those that are kept, and those that ``encode`` gives, in one call, for the rest.

        Args:
            texts: Texts; one that stands twice is encoded once.
            encode: Called without holding the lock, with the texts that are missing; not at all if none is.
            vocabulary_size: The number of terms.
        """
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            found.update(zip(missing, encode(missing), strict=True))
        with self._lock:
            for text in dict.fromkeys(texts):
                # Whoever encoded it first: in another batch the last bits differ, and a question has one answer.
                found[text] = self._kept.setdefault(text, found[text])
                self._kept.move_to_end(text)
            while len(self._kept) > self._max_vectors:
                self._kept.popitem(last=False)
        if len(texts) == 1:
            return found[texts[0]]
        return SparseVectors.concatenate([found[text] for text in texts], vocabulary_size)
