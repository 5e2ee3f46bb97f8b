"""The exact best documents, whatever an engine rounds: more candidates are asked for until nothing unseen can win."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pixie_retrievers.filters import Condition
from pixie_retrievers.index.matching import matched
from pixie_retrievers.index.remote.clauses import Clause
from pixie_retrievers.index.remote.engine import Candidate, Engine, Request
from pixie_retrievers.index.remote.records import Stored, vectors_of
from pixie_retrievers.types import Hit, SparseVectors, TermMatches

__all__ = ["search_exactly"]


_READ_AT_ONCE = 1000


@dataclass
class _Asked:
    """One query on its way: what was found of it, and whether that is proven."""

    query: SparseVectors
    parts: list[dict[int, float]]
    n: int
    seen: dict[str, tuple[float, int, Stored, TermMatches]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    proven: bool = False


def search_exactly(
    engine: Engine,
    queries: Sequence[SparseVectors],
    k: int,
    clause: Clause,
    condition: Condition | None,
    read_all: Callable[[], Iterable[Stored]],
) -> list[list[Hit]]:
    """The k best documents of each query by exact score, ties in the order of insertion.

    A document that no request has given scores at most what its engine scores the last candidate of each part of the
    query, added up and with the engine's rounding undone (Fagin, Lotem and Naor 2003, the threshold algorithm; with one
    part, nothing but a look at the last candidate). Where an engine cannot give enough candidates, all are read.

    Args:
        engine: Where to search.
        queries: One vector each, not empty.
        k: 1 or more.
        clause: What every document that counts satisfies.
        condition: What decides among them.
        read_all: Reads every document that satisfies the clause.
    """
    asked = [_Asked(query, _parts(query, engine.max_terms), k + engine.spare) for query in queries]
    while open_ones := [one for one in asked if not one.proven]:
        requests, owners = [], []
        for one in open_ones:
            one.n = min(one.n, engine.max_candidates)
            requests += [Request(part, one.n, clause) for part in one.parts]
            owners += [one] * len(one.parts)
        unseen: dict[int, float] = dict.fromkeys(map(id, open_ones), 0.0)
        ended: dict[int, bool] = dict.fromkeys(map(id, open_ones), True)
        for one, candidates in zip(owners, engine.search(requests), strict=True):
            _take(one, candidates, condition)
            if len(candidates) >= one.n:
                unseen[id(one)] += engine.at_most(candidates[-1].score)
                ended[id(one)] = False
        for one in open_ones:
            best = sorted(score for score, *_ in one.seen.values())[-k:]
            one.proven = ended[id(one)] or (len(best) == k and best[0] > unseen[id(one)])
            if not one.proven and one.n >= engine.max_candidates:
                everything = iter(read_all())
                while rows := list(islice(everything, _READ_AT_ONCE)):
                    _take(one, [Candidate(stored, 0.0) for stored in rows], condition)
                one.proven = True
            one.n *= 4
    return [_best(one, k) for one in asked]


def _parts(query: SparseVectors, max_terms: int) -> list[dict[int, float]]:
    weights: Mapping[int, float] = query.to_dicts()[0]
    items = sorted(weights.items(), key=lambda item: -item[1])  # the heavy ones together: the rest is soon out of reach
    return [dict(items[start : start + max_terms]) for start in range(0, len(items), max_terms)]


def _take(one: _Asked, candidates: Sequence[Candidate], condition: Condition | None) -> None:
    new = {stored.id: stored for stored, _ in candidates if stored.id not in one.seen and stored.id not in one.dropped}
    rows = list(new.values())
    for stored, matches in zip(rows, matched(one.query, vectors_of(rows, one.query.vocabulary_size)), strict=True):
        if len(matches) == 0 or (condition is not None and not condition.passes(stored.id, stored.parsed_metadata())):
            one.dropped.add(stored.id)
        else:
            one.seen[stored.id] = (matches.score, stored.seq, stored, matches)


def _best(one: _Asked, k: int) -> list[Hit]:
    def rank(found: tuple[float, int, Stored, Any]) -> tuple[float, int, str]:
        return -found[0], found[1], found[2].id

    return [
        Hit(stored.document(), score, matches) for score, _, stored, matches in sorted(one.seen.values(), key=rank)[:k]
    ]
