"""The figures of the card's protocol, from a ranking and its judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pixie_retrievers.errors import OptionalDependencyError

__all__ = ["CUTOFFS", "DEPTH", "Measures", "Run", "measure"]

CUTOFFS = (1, 3, 5, 10)
DEPTH = 100
"""So many documents a system ranks for a question; NDCG looks at the first 10, recall at all."""

Run = Mapping[str, Sequence[tuple[str, float]]]
"""By question id: document ids and scores, best first."""


@dataclass(frozen=True, slots=True)
class Measures:
    """How well a ranking did, 0 to 1.

    Attributes:
        ndcg: NDCG at 1, 3, 5 and 10.
        recall: The share of the relevant documents among the first 100.
    """

    ndcg: Mapping[int, float]
    recall: float

    @property
    def average(self) -> float:
        """The mean of the four NDCG figures."""
        return fmean(self.ndcg.values())

    @classmethod
    def mean(cls, parts: Sequence[Measures]) -> Measures:
        """The mean of several, each counting alike."""
        return cls(
            {k: fmean(part.ndcg[k] for part in parts) for k in CUTOFFS},
            fmean(part.recall for part in parts),
        )


def measure(run: Run, relevant: Mapping[str, Mapping[str, int]]) -> Measures:
    """Judge a ranking as pytrec_eval does: linear gain, equal scores ordered by document id descending.

    As in the card's evaluators, only the first ten documents of a question reach NDCG, a document with the question's
    own id does not count as found, and a question that found nothing counts 0.

    Args:
        run: The ranking, in which equal scores stand as the system has them.
        relevant: By question id and document id: how relevant, 1 or more.

    Raises:
        OptionalDependencyError: The extra ``evaluation`` is not installed.
    """
    try:
        import pytrec_eval
    except ImportError as error:
        raise OptionalDependencyError.of("measuring", "pytrec_eval", '"pixie-retrievers[evaluation]"') from error
    others = {id: [hit for hit in run.get(id, ()) if hit[0] != id] for id in relevant}
    found: list[dict[str, Any]] = []
    for measures, depth in (({"ndcg_cut." + ",".join(map(str, CUTOFFS))}, max(CUTOFFS)), ({f"recall.{DEPTH}"}, DEPTH)):
        judge = pytrec_eval.RelevanceEvaluator({id: dict(grades) for id, grades in relevant.items()}, measures)
        found.append(judge.evaluate({id: dict(hits[:depth]) for id, hits in others.items() if hits}))

    def mean(judged: dict[str, Any], name: str) -> float:
        return fmean(judged.get(id, {}).get(name, 0.0) for id in relevant)

    return Measures({k: mean(found[0], f"ndcg_cut_{k}") for k in CUTOFFS}, mean(found[1], f"recall_{DEPTH}"))
