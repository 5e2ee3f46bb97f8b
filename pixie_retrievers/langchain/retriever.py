"""PixieRetriever: the facade as a LangChain retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.indexing import DeleteResponse, DocumentIndex, UpsertResponse
from langchain_core.runnables.config import get_config_list
from pydantic import ConfigDict, Field, PrivateAttr, field_validator
from typing_extensions import TypedDict, Unpack

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError, InvalidTextError
from pixie_retrievers.filters import Filter, parse_filter
from pixie_retrievers.index.documents import with_ids
from pixie_retrievers.langchain.contents import Contents
from pixie_retrievers.langchain.documents import columns, from_stored, to_langchain
from pixie_retrievers.langchain.options import Checked
from pixie_retrievers.langchain.passes import SharedPass
from pixie_retrievers.ownership import Owner, check_sparse_retriever
from pixie_retrievers.parameters import check_score_threshold, check_top_k_tokens, check_whole_number, refuse_unknown
from pixie_retrievers.queries import QueriesChoice
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.rules.asking import RulesChoice, check_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import LangSmithRetrieverParams
    from langchain_core.runnables import RunnableConfig
    from typing_extensions import Self

    from pixie_retrievers.index.base import Index
    from pixie_retrievers.models import EncoderChoice
    from pixie_retrievers.types import SearchResults

__all__ = ["PixieRetriever"]


class _Options(TypedDict, total=False):
    """What every constructor takes beside the documents."""

    k: int
    filter: Filter | None
    score_threshold: float | None
    top_k_tokens: int | None
    rules: RulesChoice
    name: str | None
    tags: list[str] | None
    metadata: dict[str, Any] | None


class PixieRetriever(Owner, Contents, Checked, DocumentIndex):
    """A LangChain retriever, and document index, over an explainable sparse index.

    Every document that comes back is a new one, with the id and the metadata it was stored with, and in its metadata
    more entries, all plain JSON types:

    - ``score``: a float, the dot product of query and document; results come by score descending.
    - ``token_explanations``: a list, largest contribution first, of ``{"token", "surface", "token_id",
      "query_weight", "document_weight", "contribution", "in_query", "in_document"}``, and ``"rule"`` where one made
      the weight in the query what it is; absent when ``top_k_tokens`` is 0, like the next two.
    - ``token_explanations_residual``: a float, the score of the tokens that are not listed: contributions and residual
      sum to the score. ``token_explanations_n_tokens``: how many tokens there are, listed or not.

    On the returned copy they hide stored metadata of the same name; the store keeps it, and filters see it. A document
    that came from a retrieval can be added again: these entries are dropped before it is stored, because they speak
    of a query. A ``score`` without ``token_explanations`` beside it is the caller's own and is stored.

    ``k``, ``filter``, ``score_threshold``, ``top_k_tokens`` and ``rules`` are set here and may be given anew at each
    ``invoke``, ``ainvoke``, ``batch`` and ``abatch``. What is given there takes the place of what is set here;
    ``filter={}`` and ``score_threshold=0.0`` let everything pass.

    As a ``DocumentIndex`` it is a destination of LangChain's ``index()``. ``batch`` and ``abatch`` encode all queries
    in one pass of the model; callbacks see each query all the same.

    Threads may share a retriever. The async methods run in a thread and leave the event loop free.

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.langchain import PixieRetriever
        >>> retriever = PixieRetriever.from_texts(["서울은 한국의 수도이다."], encoder=PixieEncoder.bundled(), k=1)
        >>> retriever.invoke("한국의 수도")[0].page_content
        '서울은 한국의 수도이다.'
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    sparse_retriever: SparseRetriever = Field(exclude=True, repr=False)
    """The facade that searches; it holds the encoder and the index."""

    k: int = 4
    """At most so many documents; fewer come back when fewer share a token with the query."""

    filter: Filter | None = None
    """Which documents count, by their metadata, before the k best are taken: a dict or a callable."""

    score_threshold: float | None = None
    """Documents that score less are dropped."""

    top_k_tokens: int | None = 10
    """At most so many tokens explain a document; None for all, 0 for no explanation."""

    rules: Any = True
    """The rules that weigh queries' tokens: True for the index's own, False for none, or Rules, or a file's path."""

    _owns_index: bool = PrivateAttr(default=False)

    @field_validator("sparse_retriever", mode="before")
    @classmethod
    def _check_sparse_retriever(cls, sparse_retriever: Any) -> Any:
        check_sparse_retriever(sparse_retriever)
        return sparse_retriever

    @field_validator("k", mode="before")
    @classmethod
    def _check_k(cls, k: Any) -> Any:
        check_whole_number("k", k)
        return k

    @field_validator("score_threshold", mode="before")
    @classmethod
    def _check_score_threshold(cls, score_threshold: Any) -> Any:
        check_score_threshold(score_threshold)
        return score_threshold

    @field_validator("top_k_tokens", mode="before")
    @classmethod
    def _check_top_k_tokens(cls, top_k_tokens: Any) -> Any:
        check_top_k_tokens(top_k_tokens)
        return top_k_tokens

    @field_validator("rules", mode="before")
    @classmethod
    def _check_rules(cls, rules: Any) -> Any:
        check_rules(rules)
        return rules

    @field_validator("filter", mode="before")
    @classmethod
    def _refuse_meaningless(cls, filter: Any) -> Any:
        if filter is not None:
            parse_filter(filter)
        return filter

    @classmethod
    def _check_options(cls, **options: Any) -> None:
        cls._check_values(**options)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        *,
        encoder: EncoderChoice | None = None,
        path: str | PathLike[str] | None = None,
        weights: str | None = None,
        text_fields: str | Iterable[str] | None = None,
        show_progress: bool = False,
        **options: Unpack[_Options],
    ) -> Self:
        """Index texts and retrieve from them.

        Args:
            texts: The texts.
            metadatas: One dict a text, of JSON types, or what has a form in them, such as dates.
            ids: One id a text; a missing one is made from the content.
            encoder: An encoder; or a model's name or folder, or ``"bundled"``; None loads the default model.
            path: Where the index is kept, a path or URL; one that is there already is added to. None or
                ``":memory:"`` makes a temporary index, which goes when the retriever goes.
            weights: How a new index stores weights: "float32" (exact), "float16" or "uint8"; None takes what an
                existing index has, and "float32" for a new one.
            text_fields: What a new index encodes, and returns as ``page_content``: metadata fields with the text among
                them, as ``("title", "text")``, or a template; None takes what an existing index has, and the text
                alone for a new one.
            show_progress: Show a progress bar while encoding.
            **options: ``k``, ``filter``, ``score_threshold``, ``top_k_tokens``, ``rules``, and LangChain's own
                ``name``, ``tags`` and ``metadata``.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
            IncompatibleIndexError: The index at ``path`` was built with another encoder, or stores weights in another
                format.
            InvalidParameterError: There is no such format.
        """
        cls._check_options(**options)
        documents = with_ids(texts, metadatas, ids)
        sparse_retriever = SparseRetriever.open(path, encoder=encoder, weights=weights, text_fields=text_fields)
        with cls._owning(sparse_retriever, **options) as retriever:
            retriever.sparse_retriever.add(documents, show_progress=show_progress)
            return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        *,
        encoder: EncoderChoice | None = None,
        path: str | PathLike[str] | None = None,
        weights: str | None = None,
        text_fields: str | Iterable[str] | None = None,
        show_progress: bool = False,
        **options: Unpack[_Options],
    ) -> Self:
        """Index LangChain documents and retrieve from them; for the rest see :meth:`from_texts`.

        Args:
            documents: They are copied, and keep their ids; a missing id is made from the content.
            encoder: None loads the default model.
            path: Where the index is kept, a path or URL; None makes a temporary one.
            weights: How a new index stores weights.
            text_fields: What a new index encodes beside the text.
            show_progress: Show a progress bar while encoding.
            **options: As in :meth:`from_texts`.
        """
        texts, metadatas, ids = columns(documents)
        return cls.from_texts(
            texts,
            metadatas,
            ids,
            encoder=encoder,
            path=path,
            weights=weights,
            text_fields=text_fields,
            show_progress=show_progress,
            **options,
        )

    @classmethod
    def from_index(
        cls,
        path_or_index: str | PathLike[str] | Index | SparseRetriever,
        *,
        encoder: EncoderChoice | None = None,
        queries: QueriesChoice = None,
        **options: Unpack[_Options],
    ) -> Self:
        """Retrieve from an index that is there already.

        Args:
            path_or_index: A path or URL; or an open index or facade, which stays open when the retriever closes.
                Nothing is locked before the first write: any number of processes may retrieve from one file.
            encoder: The one that the index was built with; None loads it, as the index names it. A facade has its own.
            queries: Who encodes questions: None for the model; "inference-free" for the table that the index keeps,
                without loading a model; or a ``QueryTable``, or the path of a saved one.
            **options: As in :meth:`from_texts`.

        Raises:
            IndexNotFoundError: Nothing is at the path.
            IncompatibleIndexError: The index was built with another encoder.
            InvalidParameterError: An encoder is passed beside a facade that has another.
        """
        return cls._over(path_or_index, encoder, queries, **options)

    def add_documents(self, documents: Iterable[Document], *, show_progress: bool = False) -> list[str]:
        """Store documents, replacing those whose id is known; return their ids.

        Only texts that are new to their ids are encoded.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        return self.sparse_retriever.add_texts(*columns(documents), show_progress=show_progress)

    async def aadd_documents(self, documents: Iterable[Document], *, show_progress: bool = False) -> list[str]:
        """:meth:`add_documents` in a thread."""
        return await in_thread(self.add_documents, documents, show_progress=show_progress)

    def upsert(self, items: Iterable[Document], /, **kwargs: Any) -> UpsertResponse:
        """:meth:`add_documents` as LangChain's ``index()`` calls it.

        A failure is raised, never reported: ``index()`` would note a reported one as done. So ``failed`` is empty.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError, IndexLockedError: As :meth:`add_documents`.
        """
        show_progress = kwargs.pop("show_progress", False)
        refuse_unknown("upsert", kwargs, "show_progress")
        return {"succeeded": self.add_documents(items, show_progress=show_progress), "failed": []}

    def delete(
        self, ids: Iterable[str] | None = None, *, filter: Filter | None = None, **kwargs: Any
    ) -> DeleteResponse:
        """Remove documents in one commit; an id that is not there is not a failure.

        Args:
            ids: Those under these ids.
            filter: Those that pass it; beside ids, those under them that do.
            **kwargs: None.

        Returns:
            ``num_deleted``: how many existed; ``num_failed``: 0, for a failure is raised.

        Raises:
            InvalidParameterError: Neither is given: that could mean all documents, or a variable that is not set.
            IndexLockedError: Another writer holds the index.
        """
        refuse_unknown("delete", kwargs, "ids and filter")
        if ids is None and filter is None:
            raise InvalidParameterError("delete needs the ids of the documents to remove, or a filter")
        return {"num_deleted": self.sparse_retriever.delete(ids, filter=filter), "num_failed": 0}

    def get(self, ids: Iterable[str], /, **kwargs: Any) -> list[Document]:
        """The documents under the ids, in order, as they were stored; those that are not there are left out."""
        refuse_unknown("get", kwargs, "ids")
        return [from_stored(document) for document in self.sparse_retriever.get(ids) if document is not None]

    def batch(
        self,
        inputs: Iterable[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """:meth:`invoke` for each query, all encoded in one pass of the model.

        Args:
            inputs: The queries.
            config: One for all, or one a query.
            return_exceptions: Return a query's error in the place of its documents instead of raising it.
            **kwargs: As for :meth:`invoke`.
        """
        inputs = list(inputs)
        shared = SharedPass(inputs)
        outcomes: list[Any] = []
        for query, one in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            try:
                outcomes.append(self.invoke(query, one, shared_pass=shared, **kwargs))
            except Exception as error:
                if not return_exceptions:
                    raise
                outcomes.append(error)
        return outcomes

    async def abatch(
        self,
        inputs: Iterable[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """:meth:`batch` without blocking the event loop."""
        inputs = list(inputs)
        shared = SharedPass(inputs)
        outcomes: list[Any] = []
        for query, one in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            try:
                outcomes.append(await self.ainvoke(query, one, shared_pass=shared, **kwargs))
            except Exception as error:
                if not return_exceptions:
                    raise
                outcomes.append(error)
        return outcomes

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
                f"the query is of type {type(query).__name__}, not a string; in a chain, pick it out first, as in"
                " itemgetter('question') | retriever"
            )
        top_k_tokens = kwargs.pop("top_k_tokens", self.top_k_tokens)
        rules = kwargs.pop("rules", self.rules)
        shared: SharedPass | None = kwargs.pop("shared_pass", None)
        kwargs.pop("verbose", None)  # LangChain's own, which it hands on
        refuse_unknown("PixieRetriever", kwargs, "k, filter, score_threshold, top_k_tokens and rules")

        def search(queries: list[str]) -> list[SearchResults]:
            return self.sparse_retriever.search_many(
                queries,
                self.k if k is None else k,
                filter=self.filter if filter is None else filter,
                top_k_tokens=top_k_tokens,
                score_threshold=self.score_threshold if score_threshold is None else score_threshold,
                rules=rules,
            )

        results = search([query])[0] if shared is None else shared.results(query, search)
        return [to_langchain(result) for result in results]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await in_thread(self._get_relevant_documents, query, run_manager=run_manager.get_sync(), **kwargs)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        encoder = self.sparse_retriever.encoder
        return {
            **super()._get_ls_params(**kwargs),
            "ls_vector_store_provider": type(self.sparse_retriever.index).__name__,
            "ls_embedding_provider": type(encoder).__name__,
            "ls_embedding_model": getattr(encoder, "name", encoder.fingerprint),
        }
