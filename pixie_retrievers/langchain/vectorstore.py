"""PixieVectorStore: the facade as a LangChain vector store that needs no dense vectors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError, InvalidTextError
from pixie_retrievers.explaining import unscored
from pixie_retrievers.index.documents import with_ids
from pixie_retrievers.langchain.contents import Contents
from pixie_retrievers.langchain.documents import columns, from_stored, to_langchain
from pixie_retrievers.ownership import Owner, check_sparse_retriever
from pixie_retrievers.parameters import check_top_k_tokens, refuse_unknown
from pixie_retrievers.queries import QueriesChoice
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.rules.asking import RulesChoice, check_rules
from pixie_retrievers.types import SearchResult
from pixie_retrievers.types.metadata import without_annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    from typing_extensions import Self

    from pixie_retrievers.filters import Filter
    from pixie_retrievers.index.base import Index
    from pixie_retrievers.models import EncoderChoice

__all__ = ["PixieVectorStore"]

_NO_EMBEDDING = "a PixieVectorStore is sparse and takes no dense embedding; leave it out, and pass encoder= for a model"


class PixieVectorStore(Owner, Contents, VectorStore):
    """A LangChain vector store over an explainable sparse index.

    A search returns new documents, with the id, text and metadata they were stored with. Their metadata
    also has ``score`` and ``token_explanations``, as :class:`~pixie_retrievers.langchain.PixieRetriever` returns them;
    with ``top_k_tokens=0``, documents come back as they were stored.

    Every search takes ``k`` (4), ``filter`` (a dict or a callable on the metadata; it counts before the k best are
    taken), ``score_threshold``, ``top_k_tokens`` and ``rules``, so ``as_retriever(search_kwargs={"k": 3, "filter":
    {...}})`` does too. A threshold is a score; only where LangChain speaks of relevance
    (``search_type="similarity_score_threshold"``, ``similarity_search_with_relevance_scores``) is it a number from
    0 to 1: the relevance of a score s is s / (1 + s).

    Threads may share a store. The async methods run in a thread and leave the event loop free.

    Args:
        sparse_retriever: The facade that searches; it holds the encoder and the index, and stays open when the store
            closes. Or the path or URL of an index, which is opened, or begun, and closed with the store.
        encoder: For a path: as for :meth:`from_texts`; None loads the model that an existing index was built with.
        top_k_tokens: At most so many tokens explain a document; None for all, 0 for no explanation and no score.
        rules: What weighs queries' tokens: True for the index's own rules, False for none, or Rules, or a file's path.
        fill: Where fewer than k documents share a token with the query, fill up with others, at score 0, in the order
            they were stored. Stores of dense vectors always return k; a sparse one knows when nothing matches.

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.langchain import PixieVectorStore
        >>> store = PixieVectorStore.from_texts(["서울은 한국의 수도이다."], encoder=PixieEncoder.bundled())
        >>> store.similarity_search("한국의 수도")[0].page_content
        '서울은 한국의 수도이다.'
    """

    sparse_retriever: SparseRetriever

    def __init__(
        self,
        sparse_retriever: SparseRetriever | str | PathLike[str],
        *,
        encoder: EncoderChoice | None = None,
        top_k_tokens: int | None = 10,
        rules: RulesChoice = True,
        fill: bool = False,
    ) -> None:
        check_top_k_tokens(top_k_tokens)
        check_rules(rules)
        self._owns_index = not isinstance(sparse_retriever, SparseRetriever)
        if isinstance(sparse_retriever, (str, os.PathLike)):
            sparse_retriever = SparseRetriever.open(sparse_retriever, encoder=encoder)
        elif encoder is not None:
            raise InvalidParameterError("the SparseRetriever has an encoder of its own: leave encoder out")
        check_sparse_retriever(sparse_retriever)
        self.sparse_retriever = sparse_retriever
        self.top_k_tokens = top_k_tokens
        self.rules = rules
        self.fill = fill

    @classmethod
    def from_texts(  # type: ignore[override]  # LangChain's demands an embedding
        cls,
        texts: Iterable[str],
        embedding: None = None,
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        encoder: EncoderChoice | None = None,
        path: str | PathLike[str] | None = None,
        weights: str | None = None,
        text_fields: str | Iterable[str] | None = None,
        show_progress: bool = False,
        top_k_tokens: int | None = 10,
        rules: RulesChoice = True,
        fill: bool = False,
    ) -> Self:
        """Index texts.

        Args:
            texts: The texts.
            embedding: Nothing: it has its place here because LangChain passes it second.
            metadatas: One dict a text, of JSON types, or what has a form in them, such as dates.
            ids: One id a text; a missing one is made from the content.
            encoder: An encoder; or a model's name or folder, or ``"bundled"``; None loads the default model.
            path: Where the index is kept, a path or URL; one that is there already is added to. None or
                ``":memory:"`` makes a temporary index, which goes when the store goes.
            weights: How a new index stores weights: "float32" (exact), "float16" or "uint8"; None takes what an
                existing index has, and "float32" for a new one.
            text_fields: What a new index encodes, and returns as ``page_content``: metadata fields with the text among
                them, as ``("title", "text")``, or a template; None takes what an existing index has, and the text
                alone for a new one.
            show_progress: Show a progress bar while encoding.
            top_k_tokens, rules, fill: As for the class.

        Raises:
            InvalidParameterError: There is an embedding, or no such format of weights.
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
            IncompatibleIndexError: The index at ``path`` was built with another encoder, or stores weights in another
                format.
        """
        if embedding is not None:
            raise InvalidParameterError(_NO_EMBEDDING)
        check_top_k_tokens(top_k_tokens)
        check_rules(rules)
        documents = with_ids(texts, metadatas, ids)
        sparse_retriever = SparseRetriever.open(path, encoder=encoder, weights=weights, text_fields=text_fields)
        with cls._owning(sparse_retriever, top_k_tokens=top_k_tokens, rules=rules, fill=fill) as store:
            sparse_retriever.add(documents, show_progress=show_progress)
            return store

    @classmethod
    async def afrom_texts(  # type: ignore[override]
        cls,
        texts: Iterable[str],
        embedding: None = None,
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Self:
        """:meth:`from_texts` in a thread."""
        return await in_thread(lambda: cls.from_texts(texts, embedding, metadatas, **options))

    @classmethod
    def from_documents(  # type: ignore[override]
        cls, documents: Iterable[Document], embedding: None = None, **options: Any
    ) -> Self:
        """Index LangChain documents; they are copied, and keep their ids. For the rest see :meth:`from_texts`."""
        texts, metadatas, ids = columns(documents)
        return cls.from_texts(texts, embedding, metadatas, **{"ids": ids, **options})

    @classmethod
    async def afrom_documents(  # type: ignore[override]
        cls, documents: Iterable[Document], embedding: None = None, **options: Any
    ) -> Self:
        """:meth:`from_documents` in a thread."""
        return await in_thread(lambda: cls.from_documents(documents, embedding, **options))

    @classmethod
    def from_index(
        cls,
        path_or_index: str | PathLike[str] | Index | SparseRetriever,
        *,
        encoder: EncoderChoice | None = None,
        queries: QueriesChoice = None,
        top_k_tokens: int | None = 10,
        rules: RulesChoice = True,
        fill: bool = False,
    ) -> Self:
        """A store over an index that is there already.

        Args:
            path_or_index: A path or URL; or an open index or facade, which stays open when the store closes.
            encoder: The one that the index was built with; None loads it, as the index names it.
            queries: Who encodes questions: None for the model; "inference-free" for the table that the index keeps,
                without loading a model; or a ``QueryTable``, or the path of a saved one.
            top_k_tokens, rules, fill: As for the class.

        Raises:
            IndexNotFoundError: Nothing is at the path.
            IncompatibleIndexError: The index was built with another encoder.
            InvalidParameterError: An encoder is passed beside a facade that has another.
        """
        check_top_k_tokens(top_k_tokens)
        check_rules(rules)
        return cls._over(path_or_index, encoder, queries, top_k_tokens=top_k_tokens, rules=rules, fill=fill)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts, replacing those whose id is known; return their ids.

        Only texts that are new to their ids are encoded.

        Args:
            texts: The texts.
            metadatas: One dict a text, of JSON types, or what has a form in them, such as dates.
            ids: One id a text; a missing one is made from the content.
            **kwargs: ``show_progress``; and ``batch_size``, which LangChain's ``index()`` passes and which changes
                nothing: batches are cut by tokens.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        kwargs.pop("batch_size", None)
        show_progress = kwargs.pop("show_progress", False)
        refuse_unknown("a PixieVectorStore", kwargs, "metadatas, ids and show_progress")
        if metadatas is not None:
            metadatas = [without_annotations(metadata) for metadata in metadatas]
        return self.sparse_retriever.add_texts(texts, metadatas, ids, show_progress=show_progress)

    def add_documents(self, documents: Iterable[Document], **kwargs: Any) -> list[str]:
        """:meth:`add_texts` for LangChain documents; ``ids`` take the place of those they have."""
        texts, metadatas, ids = columns(documents)
        return self.add_texts(texts, metadatas, **{"ids": ids, **kwargs})

    def delete(self, ids: Iterable[str] | None = None, *, filter: Filter | None = None, **kwargs: Any) -> bool:
        """Remove documents in one commit; an id that is not there is not a failure.

        Args:
            ids: An empty list removes none. Without ids and filter every document is removed, as LangChain has it for
                vector stores.
            filter: Only documents that pass it are removed.
            **kwargs: None.

        Raises:
            IndexLockedError: Another writer holds the index.
        """
        refuse_unknown("delete", kwargs, "ids and filter")
        self.sparse_retriever.delete(ids, filter={} if ids is None and filter is None else filter)
        return True

    def get_by_ids(self, ids: Iterable[str], /) -> list[Document]:
        """The documents under the ids, in order, as they were stored; those that are not there are left out."""
        return [from_stored(document) for document in self.sparse_retriever.get(ids) if document is not None]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k best documents of a query.

        Args:
            query: A text.
            k: At most so many documents; fewer come back when fewer share a token with the query.
            **kwargs: ``filter``, ``score_threshold``, ``top_k_tokens``, ``rules``: see the class.

        Raises:
            InvalidParameterError: A number is out of range.
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
            FilterError: The filter means nothing.
        """
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """:meth:`similarity_search` with scores: dot products, larger is better."""
        return [(self._to_langchain(result), result.score) for result in self._search(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """:meth:`similarity_search` in a thread."""
        return await in_thread(self.similarity_search, query, k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """:meth:`similarity_search_with_score` in a thread."""
        return await in_thread(self.similarity_search_with_score, query, k, **kwargs)

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Of the ``fetch_k`` best documents, ``k`` that also differ from each other.

        Args:
            query: A text.
            k: At most so many documents.
            fetch_k: How many of the best are chosen from.
            lambda_mult: From 0, as different as can be, to 1, the best whatever they share.
            **kwargs: ``filter``, ``score_threshold``, ``top_k_tokens``, ``rules``: see the class.

        Raises:
            InvalidParameterError, InvalidTextError, FilterError: As :meth:`similarity_search`.
        """
        _check_query(query)
        results = self.sparse_retriever.search_diverse(
            query, k, fetch_k=fetch_k, lambda_mult=lambda_mult, **self._options(**kwargs)
        )
        return [self._to_langchain(result) for result in results]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda score: score / (1.0 + score)

    def _search(self, query: str, k: int, **kwargs: Any) -> list[SearchResult]:
        options = self._options(**kwargs)
        _check_query(query)
        results = self.sparse_retriever.search(query, k, **options)
        if self.fill and len(results) < k and (options["score_threshold"] or 0.0) <= 0.0:
            found = {result.document.id for result in results}
            others = [id for id in self.sparse_retriever.ids(filter=options["filter"], limit=k) if id not in found]
            results += unscored(
                self.sparse_retriever.encoder,
                self.sparse_retriever.index,
                others[: k - len(results)],
                options["top_k_tokens"],
            )
        return results

    def _options(
        self,
        *,
        filter: Filter | None = None,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        top_k_tokens = kwargs.pop("top_k_tokens", self.top_k_tokens)
        rules = kwargs.pop("rules", self.rules)
        refuse_unknown("a PixieVectorStore", kwargs, "k, filter, score_threshold, top_k_tokens and rules")
        return {
            "filter": filter,
            "score_threshold": score_threshold,
            "top_k_tokens": top_k_tokens,
            "rules": rules,
        }

    def _to_langchain(self, result: SearchResult) -> Document:
        return from_stored(result.document) if result.explanation is None else to_langchain(result)


def _check_query(query: str) -> None:
    if not isinstance(query, str):
        raise InvalidTextError(f"the query is of type {type(query).__name__}, not a string")
