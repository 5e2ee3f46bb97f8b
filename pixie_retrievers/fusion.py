"""Several ranked lists into one, with what each list said kept: pure, knows neither model nor index nor framework.

Lists that judge by different measures (tokens shared, angles between dense vectors) are joined either by rank or by
score:

- ``"rrf"``: reciprocal rank fusion. An item at rank r of a list gets ``weight / (rank_constant + r)`` from it.
- ``"weighted"``: the lists' scores, brought to one scale first, times the lists' weights.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args

from pixie_retrievers.errors import InvalidParameterError, PixieWarning
from pixie_retrievers.parameters import check_number, check_score_threshold, check_whole_number
from pixie_retrievers.types.metadata import NOTES

__all__ = [
    "Fused",
    "IdentityCheck",
    "Method",
    "Normalization",
    "PartContribution",
    "Ranked",
    "Weights",
    "check_fusion",
    "check_thresholds",
    "fuse",
    "told_apart",
]

T = TypeVar("T")

Method: TypeAlias = Literal["rrf", "weighted"]
Normalization: TypeAlias = Literal["min-max", "z-score", "none"]
Weights: TypeAlias = Mapping[str, float] | Sequence[float]


@dataclass(frozen=True, slots=True)
class Ranked(Generic[T]):
    """An entry of one ranked list.

    Attributes:
        id: What makes two entries the same item, in this list and in others.
        item: Whatever the caller wants back.
        score: The list's own score, larger is better; None where it has none, which ``"rrf"`` does not mind.
    """

    id: str
    item: T
    score: float | None = None


@dataclass(frozen=True, slots=True)
class PartContribution(Generic[T]):
    """What one list said of one item.

    Attributes:
        rank: The item's place in the list, from 1; None when the list does not have it.
        score: The list's own score; None when there is none.
        value: What the rank or score counts for, before the weight: the reciprocal rank, or the score on the common
            scale.
        weight: The list's weight.
        contribution: ``weight * value``; over all lists they sum to the fused score.
        item: The list's own entry for the item; None when the list does not have it.
    """

    rank: int | None
    score: float | None
    value: float
    weight: float
    contribution: float
    item: T | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types, without the item."""
        return {name: getattr(self, name) for name in ("rank", "score", "value", "weight", "contribution")}


@dataclass(frozen=True, slots=True)
class Fused(Generic[T]):
    """An item of the joined list.

    Attributes:
        id: The item's id.
        item: The entry of the first list that has it.
        score: The sum of the contributions.
        parts: What every list said, by the list's name, in the order given; lists that do not have the item included.
    """

    id: str
    item: T
    score: float
    parts: Mapping[str, PartContribution[T]]

    def to_metadata(self, metadata_of: Callable[[T], Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """What every part said, as plain JSON types, beside what it had added to the metadata of its own entry.

        Args:
            metadata_of: Reads the metadata of an entry, which is copied.
        """
        said = {name: part.to_dict() for name, part in self.parts.items()}
        for name, part in self.parts.items():
            metadata = {} if part.item is None else metadata_of(part.item)
            said[name] |= {key: deepcopy(metadata[key]) for key in NOTES if key in metadata}
        return said


def told_apart(names: Iterable[str]) -> list[str]:
    """Names for lists that were given without any: those that occur again are numbered, ``"A", "B", "A 2"``."""
    apart: list[str] = []
    for name in names:
        number, free = 1, name
        while free in apart:  # somebody's own name may be "A 2"
            number += 1
            free = f"{name} {number}"
        apart.append(free)
    return apart


def check_fusion(
    names: Iterable[str],
    *,
    method: Method = "rrf",
    weights: Weights | None = None,
    normalization: Normalization = "min-max",
    rank_constant: float = 60,
) -> dict[str, float]:
    """Refuse what :func:`fuse` could not use, before anything is retrieved; return each list's weight.

    Args:
        names: The lists' names.
        method, weights, normalization, rank_constant: As for :func:`fuse`.

    Raises:
        InvalidParameterError: A name stands twice, or one of the others is unknown or out of range.
    """
    names = list(names)
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidParameterError(f"{name!r} is not a name for a list: pass a string that is not empty")
        if names.count(name) > 1:
            raise InvalidParameterError(f"two lists have the name {name!r}: give each its own")
    if method not in get_args(Method):
        raise InvalidParameterError(f"method is {method!r}; choose one of {', '.join(get_args(Method))}")
    if normalization not in get_args(Normalization):
        known = ", ".join(get_args(Normalization))
        raise InvalidParameterError(f"normalization is {normalization!r}; choose one of {known}")
    _check_finite("rank_constant", rank_constant, low=0)
    if weights is None:
        return dict.fromkeys(names, 1.0)
    if isinstance(weights, Mapping):
        if weights.keys() != set(names):
            raise InvalidParameterError(
                f"weights are for {sorted(map(str, weights))}, the lists are {sorted(names)}: pass one weight a list"
            )
        by_name = {name: weights[name] for name in names}
    else:
        if isinstance(weights, (str, bytes)) or not isinstance(weights, Sequence):
            raise InvalidParameterError(
                f"weights is of type {type(weights).__name__}; pass one number a list, or a mapping"
            )
        if len(weights) != len(names):
            raise InvalidParameterError(f"weights: pass one weight a list, not {len(weights)} for {len(names)}")
        by_name = dict(zip(names, weights, strict=True))
    for name, weight in by_name.items():
        _check_finite(f"the weight of {name!r}", weight, low=0)
    if by_name and not any(by_name.values()):
        raise InvalidParameterError("every weight is 0: give at least one list a weight above 0")
    return {name: float(weight) for name, weight in by_name.items()}


def check_thresholds(thresholds: Any, names: Iterable[str]) -> None:
    """Refuse what is neither a score, nor one by the names of lists, nor None.

    Raises:
        InvalidParameterError: It is something else, or names a list that there is not.
    """
    if not isinstance(thresholds, Mapping):
        check_score_threshold(thresholds)
        return
    names = list(names)
    for name, threshold in thresholds.items():
        if name not in names:
            raise InvalidParameterError(f"score_threshold is given for {name!r}; the parts are {', '.join(names)}")
        check_score_threshold(threshold)


def fuse(
    parts: Mapping[str, Sequence[Ranked[T]]] | Iterable[tuple[str, Sequence[Ranked[T]]]],
    *,
    method: Method = "rrf",
    weights: Weights | None = None,
    normalization: Normalization = "min-max",
    rank_constant: float = 60,
    k: int | None = None,
) -> list[Fused[T]]:
    """Join ranked lists into one, best first.

    Items are the same when their ids are. An id that a list holds twice counts where it stands first; the ranks behind
    it close up. What a list does not have counts 0 from it, or the list's lowest value when that is below 0: not to be
    found is never better than to be found last.

    Equal scores are ordered by the best rank in any list, then by the ranks in the lists' order.

    Args:
        parts: The lists by name, each best first.
        method: ``"rrf"`` looks at ranks alone, ``"weighted"`` at scores.
        weights: One number of 0 or more a list, in the lists' order or by name; None counts all alike.
        normalization: For ``"weighted"``, how a list's scores are brought to one scale: ``"min-max"`` (its worst is 0
            and its best 1), ``"z-score"`` (its mean is 0, its standard deviation 1) or ``"none"``. Where all scores of
            a list are equal, the first two make them 1.
        rank_constant: For ``"rrf"``: the larger, the less the first ranks stand out.
        k: At most so many items; None for all.

    Raises:
        InvalidParameterError: What :func:`check_fusion` refuses; ``k`` is below 1; a score is not a finite number; or
            ``"weighted"`` meets an entry without a score.

    Source:
        Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
        methods", SIGIR 2009: the formula, and 60. Fox and Shaw, "Combination of multiple searches", TREC-2, 1994:
        sums of scores.
    """
    named = list(parts.items() if isinstance(parts, Mapping) else parts)
    weight_of = check_fusion(
        (name for name, _ in named),
        method=method,
        weights=weights,
        normalization=normalization,
        rank_constant=rank_constant,
    )
    check_whole_number("k", k, none_means="all")
    said: dict[str, dict[str, PartContribution[T]]] = {}
    unfound: dict[str, PartContribution[T]] = {}
    for name, entries in named:
        first: dict[str, Ranked[T]] = {}
        for entry in entries:
            first.setdefault(entry.id, entry)
        unique = list(first.values())
        _check_scores(name, unique, needed=method == "weighted")
        if method == "rrf":
            values = [1 / (rank_constant + rank) for rank in range(1, len(unique) + 1)]
        else:
            values = _normalized([float(entry.score or 0.0) for entry in unique], normalization)
        weight = weight_of[name]
        lowest = min([0.0, *values])
        unfound[name] = PartContribution(None, None, lowest, weight, weight * lowest, None)
        for rank, (entry, value) in enumerate(zip(unique, values, strict=True), 1):
            score = None if entry.score is None else float(entry.score)
            said.setdefault(entry.id, {})[name] = PartContribution(
                rank, score, value, weight, weight * value, entry.item
            )
    fused = [_joined(id, {name: found.get(name, unfound[name]) for name, _ in named}) for id, found in said.items()]
    fused.sort(key=_order)
    return fused[:k]


class IdentityCheck(Generic[T]):
    """Warns, once for each two lists, when they never share an id and yet share texts: nothing of theirs is joined.

    Args:
        text_of: Reads the text of an entry.
        cure: What to do about it, for the message.
    """

    def __init__(self, text_of: Callable[[T], str], cure: str) -> None:
        self._text_of = text_of
        self._cure = cure
        self._settled: set[tuple[str, str]] = set()

    def __call__(self, parts: Mapping[str, Sequence[Ranked[T]]]) -> None:
        """Look at what the lists of one fusion have in common."""
        open_pairs = [pair for pair in combinations(parts, 2) if pair not in self._settled]
        names = {name for pair in open_pairs for name in pair}
        ids = {name: {entry.id for entry in parts[name]} for name in names}
        texts = {name: {self._text_of(entry.item).strip() for entry in parts[name]} - {""} for name in names}
        for pair in open_pairs:
            one, other = pair
            if not ids[one].isdisjoint(ids[other]):
                self._settled.add(pair)
            elif not texts[one].isdisjoint(texts[other]):
                self._settled.add(pair)
                warnings.warn(
                    f"{one!r} and {other!r} found the same text under different ids, so that it stands in the joined"
                    f" list twice instead of once and higher: {self._cure}",
                    PixieWarning,
                    stacklevel=2,
                )


def _joined(id: str, parts: dict[str, PartContribution[T]]) -> Fused[T]:
    try:
        # An exact sum: it does not depend on the lists' order, and equal contributions make equal scores.
        score = math.fsum(part.contribution for part in parts.values())
    except (OverflowError, ValueError):
        score = math.inf
    if not math.isfinite(score):
        raise InvalidParameterError("weights and scores are too large to be summed: normalise them, or scale them down")
    item = next(part.item for part in parts.values() if part.rank is not None)
    return Fused(id, item, score, parts)  # type: ignore[arg-type]  # an item that was found is not our None


def _order(fused: Fused[Any]) -> tuple[float, float, tuple[float, ...]]:
    ranks = tuple(math.inf if part.rank is None else part.rank for part in fused.parts.values())
    return -fused.score, min(ranks), ranks


def _check_scores(name: str, entries: Sequence[Ranked[Any]], *, needed: bool) -> None:
    for rank, entry in enumerate(entries, 1):
        if entry.score is None:
            if needed:
                raise InvalidParameterError(
                    f"rank {rank} of {name!r} has no score, which method 'weighted' needs: use 'rrf', or a list with"
                    " scores"
                )
        else:
            _check_finite(f"the score at rank {rank} of {name!r}", entry.score)


def _check_finite(name: str, value: Any, *, low: float = -math.inf) -> None:
    check_number(name, value, low=low)
    if math.isinf(value):
        raise InvalidParameterError(f"{name} is {value!r}; it must be finite")


def _normalized(scores: list[float], normalization: Normalization) -> list[float]:
    if normalization == "none" or not scores:
        return scores
    largest = max(map(abs, scores)) or 1.0
    scores = [score / largest for score in scores]  # neither scale cares, and no difference or square overflows
    low, high = min(scores), max(scores)
    if low == high:
        return [1.0] * len(scores)
    if normalization == "min-max":
        return [(score - low) / (high - low) for score in scores]
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation for score in scores]
