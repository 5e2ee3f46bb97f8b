"""HybridRetriever: any LangChain retrievers joined by fusion, with what each of them said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import deepcopy
from numbers import Real
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation, field_validator, model_validator

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.fusion import (
    Fused,
    IdentityCheck,
    Method,
    Normalization,
    Ranked,
    Weights,
    check_fusion,
    fuse,
    told_apart,
)
from pixie_retrievers.langchain.documents import content_identity
from pixie_retrievers.langchain.options import Checked
from pixie_retrievers.parameters import check_whole_number, refuse_unknown
from pixie_retrievers.types.metadata import FUSION_PARTS, SCORE, TOKEN_EXPLANATIONS

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

    How many documents a part is asked for, and which, is set at the part. ``ainvoke`` asks the parts at the same time.

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

    id_key: str | None = None
    """Where documents keep their identity in the metadata; None for their ``id``."""

    _check_identities: IdentityCheck[Document] = PrivateAttr(default_factory=lambda: IdentityCheck(_text, _CURE))

    @field_validator("k", mode="before")
    @classmethod
    def _check_k(cls, k: Any) -> Any:
        check_whole_number("k", k)
        return k

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
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        k = self._take_k(k, kwargs)
        answers = [
            part.invoke(query, {"callbacks": run_manager.get_child(tag=f"retriever:{name}")})
            for name, part in self.retrievers.items()
        ]
        return self._joined(answers, k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        k = self._take_k(k, kwargs)
        answers = await asyncio.gather(
            *(
                part.ainvoke(query, {"callbacks": run_manager.get_child(tag=f"retriever:{name}")})
                for name, part in self.retrievers.items()
            )
        )
        return self._joined(answers, k)

    def _take_k(self, k: int | None, kwargs: dict[str, Any]) -> int:
        kwargs.pop("verbose", None)  # LangChain's own, which it hands on
        refuse_unknown("HybridRetriever", kwargs, "k; what a part takes is set at the part")
        if k is None:
            return self.k
        check_whole_number("k", k)  # before the parts are asked
        return k

    def _joined(self, answers: Sequence[list[Document]], k: int) -> list[Document]:
        parts = {
            name: [Ranked(self._identity(document), document, _score(document)) for document in documents]
            for name, documents in zip(self.retrievers, answers, strict=True)
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

    def _identity(self, document: Document) -> str:
        own = document.id if self.id_key is None else document.metadata.get(self.id_key)
        return content_identity(document) if own is None else str(own)


def _text(document: Document) -> str:
    return document.page_content


def _score(document: Document) -> float | None:
    scores = (document.metadata.get(name) for name in _SCORES)
    return next((float(score) for score in scores if isinstance(score, Real)), None)  # numpy's numbers too


def _to_langchain(fused: Fused[Document]) -> Document:
    parts = fused.to_metadata(lambda document: document.metadata)
    metadata = deepcopy(fused.item.metadata)
    metadata.pop(TOKEN_EXPLANATIONS, None)
    return Document(
        id=fused.item.id,
        page_content=fused.item.page_content,
        metadata={**metadata, SCORE: fused.score, FUSION_PARTS: parts},
    )
