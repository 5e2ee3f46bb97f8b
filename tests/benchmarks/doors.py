"""The ways in which people ask, all over one open index, each as a function of a query's number.

The questions were encoded before: the encoder's cache holds them, and ``index.search`` gets the very vectors. So what
is timed is everything but the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pixie_retrievers import SparseRetriever, SparseVectors

__all__ = ["BARE", "EXPLAINED", "FETCHED", "INDEX", "N_IDS", "READ", "Door", "K", "all_doors"]

INDEX = "index.search"
BARE = "no explanations"
EXPLAINED = "explained"
READ = "explained, read"

K = (4, 10)
"""How many documents are asked for: LangChain's usual number, and the facade's."""

N_IDS = 5_000
"""How many ids ``ids=`` is given."""

FETCHED = 20
"""How many ``search_diverse`` chooses from."""


@dataclass(frozen=True)
class Door:
    """One way to ask.

    Attributes:
        name: What tables call it.
        k: How many documents it asks for.
        ask: Answers the query of a number.
        beside: The names of the doors, of the same k, that it takes turns with.
    """

    name: str
    k: int
    ask: Callable[[int], Any]
    beside: tuple[str, ...] = field(default=())


def all_doors(
    retriever: SparseRetriever, vectors: Sequence[SparseVectors], questions: Sequence[str], ids: Sequence[str] | None
) -> list[Door]:
    """Every door to one index.

    Args:
        retriever: The facade; its index was built with its encoder.
        vectors: One a query, of length 1.
        questions: The texts they came from.
        ids: All ids in random order, of which ``ids=`` is given ``N_IDS``; None leaves those doors out.
    """
    doors = [door for k in K for door in _doors(retriever, vectors, questions, k)]
    k = max(K)
    doors.append(
        Door(
            "search_diverse",
            k,
            lambda query: retriever.search_diverse(questions[query], k, fetch_k=FETCHED),
            (INDEX, EXPLAINED),
        )
    )
    if ids is not None:
        doors += _limited(retriever, questions, ids, k)
    return doors


def _limited(retriever: SparseRetriever, questions: Sequence[str], ids: Sequence[str], k: int) -> list[Door]:
    """Searches among some ids: others at each call, for what is kept of one call's may serve the next."""
    starts, always = count(step=N_IDS // 7), ids[:N_IDS]

    def others(query: int) -> Any:
        start = next(starts) % (len(ids) - N_IDS)
        return retriever.search(questions[query], k, ids=ids[start : start + N_IDS])

    return [
        Door("ids=, others each time", k, others, (INDEX,)),
        Door("ids=, the same", k, lambda query: retriever.search(questions[query], k, ids=always), (INDEX,)),
    ]


def _doors(
    retriever: SparseRetriever, vectors: Sequence[SparseVectors], questions: Sequence[str], k: int
) -> list[Door]:
    from pixie_retrievers import langchain, llama_index

    index = retriever.index
    chain = langchain.PixieRetriever.from_index(retriever, k=k)
    llama = llama_index.PixieRetriever.from_index(retriever, similarity_top_k=k)

    def read(query: int) -> Any:
        # Whatever puts work off until an explanation is looked at does it here.
        return [result.explanation.contributions for result in retriever.search(questions[query], k)]

    return [
        Door(INDEX, k, lambda query: index.search(vectors[query], k)[0]),
        Door(BARE, k, lambda query: retriever.search(questions[query], k, top_k_tokens=0), (INDEX,)),
        Door(EXPLAINED, k, lambda query: retriever.search(questions[query], k), (INDEX,)),
        Door(READ, k, read, (INDEX,)),
        Door("LangChain", k, lambda query: chain.invoke(questions[query]), (EXPLAINED, READ)),
        Door("LlamaIndex", k, lambda query: llama.retrieve(questions[query]), (EXPLAINED, READ)),
    ]
