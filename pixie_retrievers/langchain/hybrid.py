"""HybridRetriever: any LangChain retrievers joined by fusion, with what each of them said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from numbers import Real
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation, field_validator, model_validator

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.filters import Filter, parse_filter
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
from pixie_retrievers.langchain.asking import Asked, asked_of
from pixie_retrievers.langchain.documents import content_identity
from pixie_retrievers.langchain.options import Checked
from pixie_retrievers.parameters import check_whole_number, refuse_unknown
from pixie_retrievers.types.metadata import FUSION_PARTS, SCORE, TOKEN_NOTES

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from typing_extensions import Self

__all__ = ["HybridRetriever"]

_SCORES = (SCORE, "relevance_score")
_CURE = (
    "store the documents under the same ids in both (ids=...), or name a metadata field that identifies them"
    " (id_key=...)"
)


class HybridRetriever(Checked, BaseRetriever):
    """Retrievers of any kind, each asked the same, their answers joined into one list.

    Documents of two parts are the same when their ids are; where a part gives no ids, its documents are told apart by
    text and metadata, or by ``id_key``. Parts that never share an id and yet share texts are warned of, once
    (``PixieWarning``). A document that comes back is a new one, with the text and metadata that the first part that
    returned it had, and in its metadata:

    - ``score``: the fused score; results come by it, descending.
    - ``fusion_parts``: for every part by name, ``{"rank", "score", "value", "weight", "contribution"}``: its place and
      score there (None where the part did not return it) and what that counts for; the contributions sum to the score.
      What a Pixie retriever said of tokens is there too, as ``token_explanations`` beside the score that they explain.

    How many documents a part is asked for, and which, is set at the part. What is given here beside, at construction or
    at a call, reaches every part that understands it (``filter``, ``score_threshold``; a ``k`` at a call, which asks no
    part for less than it is set to): those whose retrieval has such an argument, as Pixie retrievers have, and
    retrievers over vector stores. A filter that a part has already holds too. What a part finds that does not know of
    the filter is held against it here, so that nothing comes back that does not pass. ``ainvoke`` asks the parts at the
    same time.

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.langchain import HybridRetriever, PixieRetriever
        >>> from langchain_core.documents import Document
        >>> from langchain_core.runnables import RunnableLambda
        >>> sparse = PixieRetriever.from_texts(["서울은 한국의 수도이다."], ids=["a"], encoder=PixieEncoder.bundled())
        >>> other = RunnableLambda(lambda query: [Document("서울은 한국의 수도이다.", id="a")])
        >>> hybrid = HybridRetriever(retrievers={"sparse": sparse, "other": other})
        >>> hybrid.invoke("한국의 수도")[0].metadata["fusion_parts"]["other"]["rank"]
        1
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    retrievers: dict[str, Runnable[str, list[Document]]] = Field(exclude=True, repr=False)
    """The parts by name; a list of them is named after their classes."""

    # What check_fusion holds to its rules, pydantic leaves alone: it would take True and "1" for numbers.
    method: SkipValidation[Method] = "rrf"
    """``"rrf"`` joins by rank, ``"weighted"`` by score, which every part must then give in its metadata."""

    weights: SkipValidation[Weights | None] = None
    """One number of 0 or more a part, in order or by name; None counts all alike."""

    normalization: SkipValidation[Normalization] = "min-max"
    """For ``"weighted"``: how a part's scores are brought to one scale: ``min-max``, ``z-score`` or ``none``."""

    rank_constant: SkipValidation[float] = 60
    """For ``"rrf"``: the larger, the less the first ranks stand out."""

    k: int = 4
    """At most so many documents."""

    filter: Filter | None = None
    """Which documents count, by their metadata: a dict or a callable."""

    score_threshold: SkipValidation[float | Mapping[str, float] | None] = None
    """What a part finds that scores less counts as not found there; by part, or one number for every part that takes
    one. Scores of different parts are of different kinds: the fused score is not meant."""

    filter_translators: dict[str, Callable[[Filter], Any]] = Field(default_factory=dict, exclude=True, repr=False)
    """By part: what makes of a filter what the vector store there takes as its ``filter``."""

    id_key: str | None = None
    """Where documents keep their identity in the metadata; None for their ``id``."""

    _check_identities: IdentityCheck[Document] = PrivateAttr(default_factory=lambda: IdentityCheck(_text, _CURE))

    @field_validator("k", mode="before")
    @classmethod
    def _check_k(cls, k: Any) -> Any:
        check_whole_number("k", k)
        return k

    @field_validator("filter", mode="before")
    @classmethod
    def _refuse_meaningless(cls, filter: Any) -> Any:
        if filter is not None:
            parse_filter(filter)
        return filter

    @field_validator("retrievers", mode="before")
    @classmethod
    def _name(cls, retrievers: Any) -> Any:
        if isinstance(retrievers, Mapping) or not isinstance(retrievers, Sequence):
            return retrievers
        names = (part.get_name() if isinstance(part, Runnable) else type(part).__name__ for part in retrievers)
        return dict(zip(told_apart(names), retrievers, strict=True))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.retrievers:
            raise InvalidParameterError("there are no retrievers to join: pass at least one")
        check_fusion(
            self.retrievers,
            method=self.method,
            weights=self.weights,
            normalization=self.normalization,
            rank_constant=self.rank_constant,
        )
        check_thresholds(self.score_threshold, self.retrievers)
        refuse_unknown("filter_translators", self.filter_translators.keys() - self.retrievers, "names of parts")
        return self

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | None = None,
        score_threshold: float | Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        asked = self._asked(k, filter, score_threshold, kwargs)
        answers = [
            part.invoke(query, {"callbacks": run_manager.get_child(tag=f"retriever:{name}")}, **asked[name].options)
            for name, part in self.retrievers.items()
        ]
        return self._joined(answers, asked, self.k if k is None else k)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | None = None,
        score_threshold: float | Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        asked = self._asked(k, filter, score_threshold, kwargs)
        answers = await asyncio.gather(
            *(
                part.ainvoke(
                    query, {"callbacks": run_manager.get_child(tag=f"retriever:{name}")}, **asked[name].options
                )
                for name, part in self.retrievers.items()
            )
        )
        return self._joined(answers, asked, self.k if k is None else k)

    def _asked(
        self,
        k: int | None,
        filter: Filter | None,
        score_threshold: float | Mapping[str, float] | None,
        kwargs: dict[str, Any],
    ) -> dict[str, Asked]:
        """What each part is told; everything is checked before the first of them is asked."""
        kwargs.pop("verbose", None)  # LangChain's own, which it hands on
        refuse_unknown(
            "HybridRetriever", kwargs, "k, filter and score_threshold; what else a part takes is set at the part"
        )
        check_whole_number("k", k, none_means="what is set")
        check_thresholds(score_threshold, self.retrievers)
        filter = self.filter if filter is None else filter
        threshold = self.score_threshold if score_threshold is None else score_threshold
        return {
            name: asked_of(
                part,
                k=k,
                filter=filter,
                score_threshold=threshold.get(name) if isinstance(threshold, Mapping) else threshold,
                is_threshold_its_own=isinstance(threshold, Mapping),
                translate=self.filter_translators.get(name),
            )
            for name, part in self.retrievers.items()
        }

    def _joined(self, answers: Sequence[list[Document]], asked: Mapping[str, Asked], k: int) -> list[Document]:
        found = {
            name: [document for document in documents if asked[name].passes(document)]
            for name, documents in zip(self.retrievers, answers, strict=True)
        }
        identities = self._identities([document for documents in found.values() for document in documents])
        parts = {
            name: [Ranked(identities[id(document)], document, _score(document)) for document in documents]
            for name, documents in found.items()
        }
        self._check_identities(parts)
        fused = fuse(
            parts,
            method=self.method,
            weights=self.weights,
            normalization=self.normalization,
            rank_constant=self.rank_constant,
            k=k,
        )
        return [_to_langchain(one) for one in fused]

    def _identities(self, documents: Sequence[Document]) -> dict[int, str]:
        """By Python's id: what a document is known by, and one that has nothing of its own by its content.

        That is the id which a Pixie retriever makes for a document that has none; where another part gives the same
        content an id, it is that one.
        """
        own = {id(one): one.id if self.id_key is None else one.metadata.get(self.id_key) for one in documents}
        if None not in own.values():
            return {key: str(value) for key, value in own.items()}
        contents = {id(one): content_identity(one) for one in documents}
        known = {contents[key]: value for key, value in reversed(own.items()) if value is not None}
        return {
            key: str(known.get(contents[key], contents[key]) if value is None else value) for key, value in own.items()
        }


def _text(document: Document) -> str:
    return document.page_content


def _score(document: Document) -> float | None:
    scores = (document.metadata.get(name) for name in _SCORES)
    return next((float(score) for score in scores if isinstance(score, Real)), None)  # numpy's numbers too


def _to_langchain(fused: Fused[Document]) -> Document:
    parts = fused.to_metadata(lambda document: document.metadata)
    metadata = {key: deepcopy(value) for key, value in fused.item.metadata.items() if key not in TOKEN_NOTES}
    ids = (part.item.id for part in fused.parts.values() if part.item is not None)
    return Document(
        id=next((id for id in ids if id is not None), None),
        page_content=fused.item.page_content,
        metadata={**metadata, SCORE: fused.score, FUSION_PARTS: parts},
    )
