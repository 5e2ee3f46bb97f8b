"""HybridRetriever: any LlamaIndex retrievers joined by fusion, with what each of them said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.settings import Settings

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.fusion import (
    Fused,
    IdentityCheck,
    Method,
    Normalization,
    Ranked,
    Weights,
    check_fusion,
    check_thresholds,
    fuse,
    told_apart,
)
from pixie_retrievers.llama_index.asking import Asked, asked_of
from pixie_retrievers.llama_index.filters import NodeFilter
from pixie_retrievers.llama_index.nodes import annotated, without_notes
from pixie_retrievers.llama_index.options import Narrowing
from pixie_retrievers.types.metadata import FUSION_PARTS

if TYPE_CHECKING:
    from llama_index.core.callbacks.base import CallbackManager
    from typing_extensions import Self, Unpack

__all__ = ["HybridRetriever"]

_CURE = "give both the same nodes, which keep their ids, instead of cutting the documents once for each"


class _CallOptions(TypedDict, total=False):
    """What may be replaced for one query."""

    similarity_top_k: int
    filters: NodeFilter | None
    score_threshold: float | Mapping[str, float] | None


class HybridRetriever(Narrowing, BaseRetriever):
    """Retrievers of any kind, each asked the same, their answers joined into one list.

    Nodes of two parts are the same when their ids are; parts that never share an id and yet share texts are warned of
    (``PixieWarning``), once. A node that comes back is a copy of what the first part
    returning it had; its score is the fused one, and its metadata also holds ``fusion_parts``: for every part by name
    ``{"rank", "score", "value", "weight", "contribution"}``: its place and score there (None where the part did not
    return it) and what that counts for; the contributions sum to the score. What a Pixie retriever said of tokens is
    there too, as ``token_explanations`` beside the score that they explain. LLM and embedding text leave that key out,
    and so does the node's ``hash``.

    How many nodes a part is asked for, and which, is set at the part. ``filters`` and ``score_threshold`` given here
    reach every part that understands them, beside the filters that it has: Pixie retrievers, hybrid ones and, of
    filters, LlamaIndex's own over a vector store. What another part finds is held against the filters here, so that
    nothing comes back that does not pass. For one query, or one user of a server, take a copy over the same parts, as
    with a :class:`PixieRetriever`: ``hybrid.with_options(filters=..., similarity_top_k=20).retrieve(query)``, which
    asks no part for less than it is set to. ``aretrieve`` asks the parts at the same time.

    Example:
        >>> from llama_index.core.retrievers import BaseRetriever
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.llama_index import HybridRetriever, PixieRetriever
        >>> nodes = [TextNode(text="서울은 한국의 수도이다."), TextNode(text="벼는 논에서 자란다.")]
        >>> class Newest(BaseRetriever):
        ...     def _retrieve(self, query_bundle):
        ...         return [NodeWithScore(node=nodes[1])]
        >>> sparse = PixieRetriever.from_nodes(nodes, encoder=PixieEncoder.bundled())
        >>> hybrid = HybridRetriever({"sparse": sparse, "newest": Newest()}, weights=[2, 1])
        >>> found = hybrid.retrieve("한국의 수도")
        >>> found[0].text, found[1].metadata["fusion_parts"]["newest"]["rank"]
        ('서울은 한국의 수도이다.', 1)

    Args:
        retrievers: The parts by name; a list of them is named after their classes.
        method: ``"rrf"`` joins by rank, ``"weighted"`` by score, which every part must then give.
        weights: One number of 0 or more a part, in order or by name; None counts all alike.
        normalization: For ``"weighted"``: how a part's scores are brought to one scale: ``"min-max"``, ``"z-score"`` or
            ``"none"``.
        rank_constant: For ``"rrf"``: the larger, the less the first ranks stand out.
        similarity_top_k: At most so many nodes.
        filters: Which nodes count: as for :class:`PixieRetriever`.
        score_threshold: What a part finds that scores less counts as not found there; by part, or one number for every
            part that takes one. Scores of different parts are of different kinds: the fused score is not meant.
        callback_manager: None means ``Settings.callback_manager``.
        verbose: Print what objects are entered.

    Raises:
        InvalidParameterError: There are no retrievers, one is not a retriever, or a setting is out of range.
        FilterError: The filters mean nothing.
    """

    def __init__(
        self,
        retrievers: Mapping[str, BaseRetriever] | Sequence[BaseRetriever],
        *,
        method: Method = "rrf",
        weights: Weights | None = None,
        normalization: Normalization = "min-max",
        rank_constant: float = 60,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: NodeFilter | None = None,
        score_threshold: float | Mapping[str, float] | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(callback_manager=callback_manager or Settings.callback_manager, verbose=verbose)
        if not isinstance(retrievers, (Mapping, Sequence)):
            raise InvalidParameterError(
                f"retrievers is of type {type(retrievers).__name__}; pass a list of retrievers, or a mapping by name"
            )
        if not isinstance(retrievers, Mapping):
            names = told_apart(type(part).__name__ for part in retrievers)
            retrievers = dict(zip(names, retrievers, strict=True))
        self._retrievers = dict(retrievers)
        for name, part in self._retrievers.items():
            if not isinstance(part, BaseRetriever):
                raise InvalidParameterError(f"{name!r} is of type {type(part).__name__}, not a LlamaIndex retriever")
        if not self._retrievers:
            raise InvalidParameterError("there are no retrievers to join: pass at least one")
        self._weights = check_fusion(
            self._retrievers, method=method, weights=weights, normalization=normalization, rank_constant=rank_constant
        )
        self._method: Method = method
        self._normalization: Normalization = normalization
        self._rank_constant = rank_constant
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.score_threshold = score_threshold
        self._asked_top_k: int | None = None
        self._check_identities: IdentityCheck[BaseNode] = IdentityCheck(_text, _CURE)

    @property
    def score_threshold(self) -> float | Mapping[str, float] | None:
        """What parts drop that scores less."""
        return self._score_threshold

    @score_threshold.setter
    def score_threshold(self, value: float | Mapping[str, float] | None) -> None:
        check_thresholds(value, self._retrievers)
        self._score_threshold = value

    @property
    def retrievers(self) -> Mapping[str, BaseRetriever]:
        """The parts by name."""
        return self._retrievers

    def with_options(self, **options: Unpack[_CallOptions]) -> Self:
        """A copy over the same parts with some settings replaced; this retriever stays as it is.

        Args:
            options: ``similarity_top_k``, ``filters`` and ``score_threshold``, as for the class.

        Raises:
            InvalidParameterError, FilterError: As for the class.
            TypeError: There is no such option.
        """
        refuse = options.keys() - _CallOptions.__annotations__.keys()
        if refuse:
            raise TypeError(
                f"with_options does not take {', '.join(map(repr, sorted(refuse)))}; it takes"
                f" {', '.join(_CallOptions.__annotations__)}"
            )
        twin = copy(self)
        for name, value in options.items():
            setattr(twin, name, value)
        vars(twin)["_asked_top_k"] = options.get("similarity_top_k", self._asked_top_k)
        return twin

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        # Each part has a bundle of its own: dense retrievers leave their vector in it, which no other must find.
        told = self._told()
        return self._joined([one.part.retrieve(replace(query_bundle)) for one in told.values()], told)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        told = self._told()
        answers = await asyncio.gather(*(one.part.aretrieve(replace(query_bundle)) for one in told.values()))
        return self._joined(answers, told)

    def _told(self) -> dict[str, Asked]:
        given = self._score_threshold
        return {
            name: asked_of(
                part,
                top_k=self._asked_top_k,
                filters=self._filters,
                score_threshold=given.get(name) if isinstance(given, Mapping) else given,
            )
            for name, part in self._retrievers.items()
        }

    def _joined(self, answers: Sequence[list[NodeWithScore]], told: Mapping[str, Asked]) -> list[NodeWithScore]:
        ranked = {
            name: [Ranked(hit.node.node_id, hit.node, hit.score) for hit in hits if one.passes(hit.node)]
            for (name, one), hits in zip(told.items(), answers, strict=True)
        }
        self._check_identities(ranked)
        fused = fuse(
            ranked,
            method=self._method,
            weights=self._weights,
            normalization=self._normalization,
            rank_constant=self._rank_constant,
            k=self.similarity_top_k,
        )
        return [NodeWithScore(node=_with_parts(one), score=one.score) for one in fused]


def _text(node: BaseNode) -> str:
    return node.get_content(MetadataMode.NONE)


def _with_parts(fused: Fused[BaseNode]) -> BaseNode:
    """The node, with what each part said of it, and the notes that the part had made."""
    parts = fused.to_metadata(lambda node: node.metadata)
    return annotated(without_notes(fused.item), {FUSION_PARTS: parts})
