"""PixieRetriever: the facade as a LangChain retriever."""

from __future__ import annotations

from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING, Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator
from typing_extensions import TypedDict, Unpack

from pixie_retrievers.errors import InvalidParameterError, InvalidTextError
from pixie_retrievers.filters import Filter, compile_filter
from pixie_retrievers.langchain.documents import to_langchain, without_explanation
from pixie_retrievers.retriever import SparseRetriever

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import LangSmithRetrieverParams
    from typing_extensions import Self

    from pixie_retrievers.encoder.base import Encoder
    from pixie_retrievers.index.base import Index

__all__ = ["PixieRetriever"]

_NAMES_OF_K = ("k", "top_k", "similarity_top_k")


class _Options(TypedDict, total=False):
    """What every constructor takes beside the documents."""

    k: int
    top_k: int
    similarity_top_k: int
    filter: Filter | None
    score_threshold: float | None
    top_k_tokens: int | None
    name: str | None
    tags: list[str] | None
    metadata: dict[str, Any] | None


class PixieRetriever(BaseRetriever):
    """A LangChain retriever over an explainable sparse index.

    Every document that comes back is a new one, with the id and the metadata it was stored with, and in its metadata
    two entries more, both plain JSON types:

    - ``score``: a float, the dot product of query and document; results come by score descending.
    - ``token_explanations``: a list, largest contribution first, of ``{"token", "surface", "token_id",
      "query_weight", "document_weight", "contribution", "in_query", "in_document"}``; absent when ``top_k_tokens``
      is 0.

    On the returned copy they hide stored metadata of the same name; the store keeps it, and filters see it. A document
    that came from a retrieval can be added again: the two entries are dropped before it is stored, because they speak
    of a query. A ``score`` without ``token_explanations`` beside it is the caller's own and is stored.

    ``k`` (or ``top_k``, or ``similarity_top_k``), ``filter``, ``score_threshold`` and ``top_k_tokens`` are set here
    and may be given anew at each ``invoke``, ``ainvoke``, ``batch`` and ``abatch``. What is given there takes the
    place of what is set here; ``filter={}`` and ``score_threshold=0.0`` let everything pass.

    Threads may share a retriever. The async methods run in a thread and leave the event loop free.

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.langchain import PixieRetriever
        >>> retriever = PixieRetriever.from_texts(["서울은 한국의 수도이다."], encoder=PixieEncoder.bundled(), k=1)
        >>> retriever.invoke("한국의 수도")[0].page_content
        '서울은 한국의 수도이다.'
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    retriever: SparseRetriever = Field(exclude=True, repr=False)
    """The facade that searches; it holds the encoder and the index."""

    k: int = Field(default=4, ge=1, strict=True)
    """At most so many documents; fewer come back when fewer share a token with the query."""

    filter: Filter | None = None
    """Which documents count, by their metadata, before the k best are taken: a dict or a callable."""

    score_threshold: float | None = None
    """Documents that score less are dropped."""

    top_k_tokens: int | None = Field(default=10, ge=0, strict=True)
    """At most so many tokens explain a document; None for all, 0 for no explanation."""

    _owns_index: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _unify_k(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        k = _take_k(values)
        return values if k is None else {**values, "k": k}

    @field_validator("filter")
    @classmethod
    def _refuse_meaningless(cls, filter: Filter | None) -> Filter | None:
        if filter is not None:
            compile_filter(filter)
        return filter

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        *,
        encoder: Encoder | None = None,
        path: str | PathLike[str] | None = None,
        show_progress: bool = False,
        **options: Unpack[_Options],
    ) -> Self:
        """Index texts and retrieve from them.

        Args:
            texts: The texts.
            metadatas: One dict of JSON types a text.
            ids: One id a text; a missing one is made from the content.
            encoder: None loads the default model.
            path: Where the index is kept; one that is there already is added to. None makes a temporary index, which
                goes when the retriever goes.
            show_progress: Show a progress bar while encoding.
            **options: ``k``, ``filter``, ``score_threshold``, ``top_k_tokens``, and LangChain's own ``name``,
                ``tags`` and ``metadata``.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
            IncompatibleIndexError: The index at ``path`` was built with another encoder.
        """
        sparse = SparseRetriever.open(path, encoder=encoder)
        with ExitStack() as on_error:
            on_error.callback(sparse.close)
            retriever = cls.model_validate({"retriever": sparse, **options})
            retriever._owns_index = True  # noqa: SLF001  # its own class
            sparse.add_texts(texts, metadatas, ids, show_progress=show_progress)
            on_error.pop_all()
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        *,
        encoder: Encoder | None = None,
        path: str | PathLike[str] | None = None,
        show_progress: bool = False,
        **options: Unpack[_Options],
    ) -> Self:
        """Index LangChain documents and retrieve from them; for the rest see :meth:`from_texts`.

        Args:
            documents: They are copied, and keep their ids; a missing id is made from the content.
            encoder: None loads the default model.
            path: Where the index is kept; None makes a temporary one.
            show_progress: Show a progress bar while encoding.
            **options: As in :meth:`from_texts`.
        """
        texts, metadatas, ids = _columns(documents)
        return cls.from_texts(texts, metadatas, ids, encoder=encoder, path=path, show_progress=show_progress, **options)

    @classmethod
    def from_index(
        cls,
        path_or_index: str | PathLike[str] | Index | SparseRetriever,
        *,
        encoder: Encoder | None = None,
        **options: Unpack[_Options],
    ) -> Self:
        """Retrieve from an index that is there already.

        Args:
            path_or_index: An index file; or an open index or facade, which stays open when the retriever closes.
                Nothing is locked before the first write: any number of processes may retrieve from one file.
            encoder: The one that the index was built with; None loads it, as the index names it. A facade has its own.
            **options: As in :meth:`from_texts`.

        Raises:
            IndexNotFoundError: Nothing is at the path.
            IncompatibleIndexError: The index was built with another encoder.
            InvalidParameterError: An encoder is passed beside a facade that has another.
        """
        if isinstance(path_or_index, SparseRetriever):
            if encoder is not None and encoder is not path_or_index.encoder:
                raise InvalidParameterError("the SparseRetriever has an encoder of its own; leave encoder out")
            return cls.model_validate({"retriever": path_or_index, **options})
        sparse = SparseRetriever.from_index(path_or_index, encoder=encoder)
        owns_index = isinstance(path_or_index, (str, PathLike))
        with ExitStack() as on_error:
            if owns_index:
                on_error.callback(sparse.close)
            retriever = cls.model_validate({"retriever": sparse, **options})
            on_error.pop_all()
        retriever._owns_index = owns_index  # noqa: SLF001  # its own class
        return retriever

    def add_documents(self, documents: Iterable[Document], *, show_progress: bool = False) -> list[str]:
        """Store documents in one commit, replacing those whose id is known; return their ids.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        return self.retriever.add_texts(*_columns(documents), show_progress=show_progress)

    async def aadd_documents(self, documents: Iterable[Document], *, show_progress: bool = False) -> list[str]:
        """:meth:`add_documents` in a thread."""
        return await run_in_executor(None, self.add_documents, documents, show_progress=show_progress)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents in one commit; return how many existed."""
        return self.retriever.delete(ids)

    async def adelete(self, ids: Sequence[str]) -> int:
        """:meth:`delete` in a thread."""
        return await run_in_executor(None, self.delete, ids)

    def close(self) -> None:
        """Close the index that this retriever opened, and remove it if it was temporary; one passed in stays open."""
        if self._owns_index:
            self.retriever.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  # LangChain's signature
        k: int | None = None,
        filter: Filter | None = None,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        if not isinstance(query, str):
            raise InvalidTextError(
                f"the query is a {type(query).__name__}, not a string; in a chain, pick it out first, as in"
                " itemgetter('question') | retriever"
            )
        k = _take_k(kwargs, k)
        top_k_tokens = kwargs.pop("top_k_tokens", self.top_k_tokens)
        kwargs.pop("verbose", None)  # LangChain's own, which it hands on
        if kwargs:
            raise TypeError(
                f"PixieRetriever takes no {', '.join(map(repr, kwargs))}; it takes k, filter, score_threshold and"
                " top_k_tokens"
            )
        results = self.retriever.search(
            query,
            self.k if k is None else k,
            filter=self.filter if filter is None else filter,
            top_k_tokens=top_k_tokens,
            score_threshold=self.score_threshold if score_threshold is None else score_threshold,
        )
        return [to_langchain(result) for result in results]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await run_in_executor(
            None, self._get_relevant_documents, query, run_manager=run_manager.get_sync(), **kwargs
        )

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        encoder = self.retriever.encoder
        return {
            **super()._get_ls_params(**kwargs),
            "ls_vector_store_provider": type(self.retriever.index).__name__,
            "ls_embedding_provider": type(encoder).__name__,
            "ls_embedding_model": getattr(encoder, "name", encoder.fingerprint),
        }


def _take_k(given: dict[str, Any], k: int | None = None) -> int | None:
    """Take k out of keyword arguments, under whichever of its names it came; None when it did not.

    Raises:
        InvalidParameterError: Two names say two things.
    """
    said = {name: value for name in _NAMES_OF_K if (value := given.pop(name, None)) is not None}
    if k is not None:
        said = {"k": k, **said}
    if any(value != next(iter(said.values())) for value in said.values()):
        raise InvalidParameterError(
            f"{' and '.join(f'{name}={value!r}' for name, value in said.items())} contradict; pass one of them"
        )
    return next(iter(said.values()), None)


def _columns(documents: Iterable[Document]) -> tuple[list[str], list[dict[str, Any]], list[str | None]]:
    """Texts, metadatas and ids, as the facade takes them."""
    documents = list(documents)
    return (
        [document.page_content for document in documents],
        [without_explanation(document.metadata) for document in documents],
        [document.id for document in documents],
    )
