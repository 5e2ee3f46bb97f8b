"""The model card's rules in plain Python, written from the card alone: what the real code is held to.

Kept: weights strictly above ``min_weight``, special tokens dropped. A score is the sum over shared tokens of query
weight times document weight, in float64 by ascending token. Ranking is by score descending, ties by insertion order. A
query that shares no token with any document finds nothing. An explanation is the shared tokens by contribution
descending.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

Vector = Mapping[int, float]


def added_up(values: Iterable[float]) -> float:
    """What float64 arithmetic gives from the first value to the last: each sum exact, then rounded to the nearest.

    In fractions, because the built-in ``sum`` is another from Python 3.12 on.
    """
    total = 0.0
    for value in values:
        total = float(Fraction(total) + Fraction(value))
    return total


class Reference:
    """Documents under their vectors, in a dictionary, scored one by one."""

    def __init__(self, min_weight: float = 0.0, special: Collection[int] = ()) -> None:
        self.min_weight = min_weight
        self.special = set(special)
        self.documents: dict[str, dict[int, float]] = {}

    def active(self, vector: Vector) -> dict[int, float]:
        return {t: w for t, w in sorted(vector.items()) if w > self.min_weight and t not in self.special}

    def upsert(self, ids: Sequence[str], vectors: Sequence[Vector]) -> None:
        for id, vector in zip(ids, vectors, strict=True):
            self.documents.pop(id, None)  # a replaced document counts as newly inserted
            self.documents[id] = self.active(vector)

    def delete(self, ids: Sequence[str]) -> int:
        return sum(self.documents.pop(id, None) is not None for id in dict.fromkeys(ids))

    def contributions(self, query: Vector, id: str) -> list[tuple[int, float, float, float]]:
        document = self.documents[id]
        shared = [(t, w, document[t], w * document[t]) for t, w in self.active(query).items() if t in document]
        return sorted(shared, key=lambda entry: -entry[3])

    def search(self, query: Vector, k: int) -> list[tuple[str, float]]:
        scored = []
        for id, document in self.documents.items():
            shared = [t for t in self.active(query) if t in document]
            if shared:
                scored.append((id, added_up(self.active(query)[t] * document[t] for t in shared)))
        return sorted(scored, key=lambda entry: -entry[1])[:k]
