"""PixieVectorStore: the sparse index where LlamaIndex expects a vector store; a translation, nothing more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.filters import parse_filter
from pixie_retrievers.index.opening import names_no_file
from pixie_retrievers.llama_index.contents import Contents, storable, store, translate_choice
from pixie_retrievers.llama_index.filters import NodeFilter, translate
from pixie_retrievers.llama_index.nodes import REF_DOC_KEY, to_node
from pixie_retrievers.llama_index.passing import announced_progress, text_for_store
from pixie_retrievers.llama_index.persisting import keep_copy, kept_copy
from pixie_retrievers.models import EncoderChoice, chosen_encoder
from pixie_retrievers.ownership import Owner
from pixie_retrievers.parameters import check_top_k_tokens, refuse_unknown
from pixie_retrievers.queries import QueriesChoice
from pixie_retrievers.retriever import SparseRetriever

if TYPE_CHECKING:
    from collections.abc import Iterable

    import fsspec
    from llama_index.core.schema import BaseNode
    from typing_extensions import Self

    from pixie_retrievers.filters import Filter
    from pixie_retrievers.index.base import Index
    from pixie_retrievers.index.sqlite.engine import SqliteIndex
    from pixie_retrievers.types import SearchResult

__all__ = ["PixieVectorStore"]

_MODES = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.SPARSE)
_MANY_IDS = 100  # fewer are looked up one by one
_OF_OTHERS = ("hybrid_top_k", "mmr_threshold", "embedding_field", "output_fields")


class PixieVectorStore(Owner, Contents, BasePydanticVectorStore):
    """A vector store whose vectors are sparse: it encodes nodes and queries itself, and explains what it finds.

    It searches by tokens and by nothing else: dense vectors on nodes are not stored, and a query without a text, or in
    a mode that needs dense vectors, is an error. VectorStoreIndex and IngestionPipeline want an embedding model all the
    same: give them :class:`~pixie_retrievers.llama_index.SparseOnly`, which loads none.

    Every write is on disk when it returns, so ``persist`` has nothing to do but for a temporary index;
    ``StorageContext.persist`` writes the rest. Serialised, a store is the path of its index and the fingerprint of its
    model.

    Async methods leave the event loop free.

    Example:
        >>> from llama_index.core import StorageContext, VectorStoreIndex
        >>> from llama_index.core.schema import TextNode
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.llama_index import PixieVectorStore, SparseOnly
        >>> store = PixieVectorStore(encoder=PixieEncoder.bundled())
        >>> nodes = [TextNode(text="서울은 한국의 수도이다."), TextNode(text="벼는 논에서 자란다.")]
        >>> storage_context = StorageContext.from_defaults(vector_store=store)
        >>> index = VectorStoreIndex(nodes, storage_context=storage_context, embed_model=SparseOnly())
        >>> index.as_retriever(similarity_top_k=1).retrieve("한국의 수도")[0].text
        '서울은 한국의 수도이다.'

    Args:
        path_or_index: A path or URL, opened or begun; or an open index or facade, which stays open when the store
            closes; None or ``":memory:"`` puts the index into a temporary file that goes when the store goes.
        encoder: An encoder; or a model's name or folder, or ``"bundled"``. None loads the model that an existing index
            was built with, and the default model for a new one.
        weights: How a new index stores weights: "float32" (exact), "float16" or "uint8"; None takes what an existing
            index has, and "float32" for a new one.
        fingerprint: The model to load when no encoder is given; a serialised store says so of itself.
        top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.
        queries: Who encodes questions: None for the model; "inference-free" for the table that the index keeps, without
            loading a model; or a ``QueryTable``, or the path of a saved one.

    Raises:
        IncompatibleIndexError: The index was built with another encoder, or stores weights in another format.
        ModelUnavailableError: A model was needed and cannot be loaded.
        InvalidParameterError: An encoder is passed beside a facade that has another, or ``weights`` beside an open
            index; ``top_k_tokens`` is out of range, or there is no such format.
    """

    stores_text: bool = Field(default=True, exclude=True)
    is_embedding_query: bool = Field(default=False, exclude=True)
    path_or_index: str | None
    fingerprint: str
    weights: str | None = None
    top_k_tokens: int | None = 10
    queries: str | None = None

    _sparse_retriever: SparseRetriever = PrivateAttr()
    _owns_index: bool = PrivateAttr()
    _temporary: bool = PrivateAttr()
    _wanted: tuple[list[str], frozenset[str]] = PrivateAttr(
        default=([], frozenset())
    )  # of the last query with many ids

    def __init__(
        self,
        path_or_index: str | os.PathLike[str] | Index | SparseRetriever | None = None,
        *,
        encoder: EncoderChoice | None = None,
        weights: str | None = None,
        fingerprint: str | None = None,
        top_k_tokens: int | None = 10,
        queries: QueriesChoice = None,
    ) -> None:
        check_top_k_tokens(top_k_tokens)
        if encoder is None and fingerprint is not None and queries is None:
            encoder = chosen_encoder(None, fingerprint)
        temporary = False
        if path_or_index is None or isinstance(path_or_index, (str, os.PathLike)):
            sparse_retriever = SparseRetriever.open(path_or_index, encoder=encoder, weights=weights, queries=queries)
            owned = True
            temporary = names_no_file(path_or_index)
        elif weights is not None:
            raise InvalidParameterError("an open index has its own format of weights: leave weights out")
        else:
            sparse_retriever, owned = SparseRetriever.from_source(path_or_index, encoder=encoder, queries=queries)
        path = getattr(sparse_retriever.index, "path", None)  # an engine elsewhere has no path
        fields: dict[str, Any] = {
            "path_or_index": None if path is None else str(path),
            "fingerprint": sparse_retriever.encoder.fingerprint,
            "weights": weights,
            "top_k_tokens": top_k_tokens,
            "queries": str(queries) if isinstance(queries, (str, os.PathLike)) else None,
        }
        super().__init__(**fields)
        self._sparse_retriever = sparse_retriever
        self._owns_index = owned
        self._temporary = temporary

    @classmethod
    def class_name(cls) -> str:
        """The name that serialised stores carry."""
        return "PixieVectorStore"

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str = DEFAULT_VECTOR_STORE,
        *,
        encoder: EncoderChoice | None = None,
        top_k_tokens: int | None = 10,
    ) -> Self:
        """Open what a temporary store left in the folder that ``StorageContext.persist`` wrote.

        A store with a file of its own left nothing there: open that file.

        Args:
            persist_dir: The folder.
            namespace: The store's name in its storage context.
            encoder, top_k_tokens: As for the class.

        Raises:
            IndexNotFoundError: No store is in the folder.
        """
        path = kept_copy(persist_dir, namespace)
        return cls(path, encoder=encoder, top_k_tokens=top_k_tokens)

    @property
    def client(self) -> SparseRetriever:
        """:attr:`sparse_retriever`, under LlamaIndex's name for what is beneath a store."""
        return self._sparse_retriever

    @property
    def sparse_retriever(self) -> SparseRetriever:
        """The encoder and index beneath, with ``search``, ``explain`` and the rest."""
        return self._sparse_retriever

    def add(self, nodes: Iterable[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes, replacing those whose id is known; return their ids.

        Only texts that are new to their ids are encoded.

        An empty embedding, as :class:`~pixie_retrievers.llama_index.SparseOnly` gives, is taken from the nodes; a dense
        one stays on them, and is not stored.

        Args:
            nodes: Any LlamaIndex nodes.
            **kwargs: ``show_progress``, which a VectorStoreIndex over ``SparseOnly`` hands on.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a node is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        show_progress = kwargs.pop("show_progress", announced_progress())
        refuse_unknown("add", kwargs, "show_progress")
        return store(*storable(nodes), self._sparse_retriever, show_progress=show_progress)

    async def async_add(self, nodes: Iterable[BaseNode], **kwargs: Any) -> list[str]:
        """As :meth:`add`."""
        return await in_thread(self.add, nodes, **{"show_progress": announced_progress(), **kwargs})

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Remove all nodes that were cut from a document, and the document itself where it was stored whole."""
        refuse_unknown("delete", delete_kwargs, "ref_doc_id")
        cut = self._sparse_retriever.ids(filter={REF_DOC_KEY: ref_doc_id})
        self._sparse_retriever.delete([*cut, ref_doc_id])

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As :meth:`delete`."""
        await in_thread(self.delete, ref_doc_id, **delete_kwargs)

    def delete_nodes(
        self, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None, **delete_kwargs: Any
    ) -> None:
        """Remove nodes by their ids, by filters, or, when both are given, those that both hold for.

        Raises:
            InvalidParameterError: Neither is given.
        """
        refuse_unknown("delete_nodes", delete_kwargs, "node_ids and filters")
        if node_ids is None and filters is None:
            raise InvalidParameterError("pass node_ids or filters; clear() removes all nodes")
        self._sparse_retriever.delete(node_ids, filter=translate_choice(filters))

    async def adelete_nodes(
        self,
        node_ids: Iterable[str] | None = None,
        filters: NodeFilter | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """As :meth:`delete_nodes`."""
        await in_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    def get_nodes(self, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None) -> list[BaseNode]:
        """The nodes under the ids that are there and pass the filters; all nodes when neither is given."""
        filter = translate(filters)
        if node_ids is None:
            node_ids = self._sparse_retriever.index.ids(filter=filter)
            filter = None
        condition = parse_filter({} if filter is None else filter)
        documents = self._sparse_retriever.get(node_ids)
        return [to_node(one) for one in documents if one is not None and condition.passes(one.id, one.metadata)]

    async def aget_nodes(
        self, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None
    ) -> list[BaseNode]:
        """As :meth:`get_nodes`."""
        return await in_thread(self.get_nodes, node_ids, filters)

    def clear(self) -> None:
        """Remove all nodes."""
        self._sparse_retriever.delete(filter={})

    async def aclear(self) -> None:
        """As :meth:`clear`."""
        await in_thread(self.clear)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes for the query's text, explained as :class:`PixieRetriever` explains them.

        Of the query, ``query_str``, ``similarity_top_k``, ``filters``, ``node_ids`` and ``doc_ids`` count; an empty
        list of ids means all nodes, as LlamaIndex's own retriever means it. ``sparse_top_k`` takes the place of
        ``similarity_top_k``. A dense vector beside the text does not count: whoever fuses this store with a dense one
        hands it to both. What a query transform such as HyDE wrote is searched in place of the text when
        ``index.as_retriever()``, or what is built on it, asks.

        Args:
            query: What LlamaIndex asks.
            **kwargs: ``top_k_tokens``, ``score_threshold`` and ``rules``, for this query alone: what
                ``index.as_retriever(vector_store_kwargs={...})`` hands on.

        Raises:
            InvalidParameterError: The query has no text, a mode other than ``SPARSE`` and ``DEFAULT``, or a setting
                that only stores with dense vectors have.
            FilterError: The filters mean nothing.
        """
        options: dict[str, Any] = {"top_k_tokens": self.top_k_tokens, "score_threshold": None, "rules": True}
        refuse_unknown("query", kwargs.keys() - options.keys(), "top_k_tokens, score_threshold and rules")
        options |= kwargs
        _refuse_dense(query)
        options["filter"] = _filter_of(query)
        results = self._found(
            text_for_store(query.query_str or ""),
            query.similarity_top_k if query.sparse_top_k is None else query.sparse_top_k,
            query.node_ids or None,
            options,
        )
        return VectorStoreQueryResult(
            nodes=[to_node(result.document, result.explanation) for result in results],
            similarities=[result.score for result in results],
            ids=[result.document.id for result in results],
        )

    def _found(self, text: str, k: int, node_ids: list[str] | None, options: dict[str, Any]) -> list[SearchResult]:
        """The best nodes under some ids, or all.

        An index that keeps its nodes itself (``store_nodes_override``) passes the ids of all it has, with each query.
        So the best of all are looked for first: where they are all wanted, they are the best of those wanted.
        """
        if node_ids is not None and len(node_ids) >= _MANY_IDS:
            known, wanted = self._wanted
            if known != node_ids:
                known, wanted = list(node_ids), frozenset(node_ids)
                self._wanted = known, wanted
            results = self._sparse_retriever.search(text, k, **options)
            if all(result.document.id in wanted for result in results):
                return results
        return self._sparse_retriever.search(text, k, ids=node_ids, **options)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As :meth:`query`."""
        return await in_thread(self.query, query, **kwargs)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the index into a new file; where it was temporary, the store goes on in that file, which stays.

        Raises:
            StorageError, IndexNotFoundError, InvalidParameterError: As
                :meth:`SparseRetriever.backup <pixie_retrievers.SparseRetriever.backup>`.
        """
        super().backup(path)
        if self._temporary:
            self.path_or_index, self._temporary = str(self._sparse_retriever.index.path), False  # type: ignore[attr-defined]

    def persist(self, persist_path: str, fs: fsspec.AbstractFileSystem | None = None) -> None:
        """Nothing, where the index has a file of its own: every write is on disk already.

        A temporary index is copied to where LlamaIndex would put the store, as ``...vector_store.db`` instead of
        ``...vector_store.json``: ``PixieVectorStore("storage/default__vector_store.db")`` opens it. The store itself
        goes on over its temporary file; after :meth:`backup` it goes on in the copy.

        Args:
            persist_path: As ``StorageContext.persist`` gives it.
            fs: Where the path is; None for this machine.

        Raises:
            StorageError: The copy cannot be written.
        """
        if self._temporary and len(self._sparse_retriever):
            keep_copy(cast("SqliteIndex", self._sparse_retriever.index), f"{persist_path.removesuffix('.json')}.db", fs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("path_or_index", "fingerprint", "weights", "top_k_tokens")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # as LlamaIndex's components do: a state is what makes a new one

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self  # one index has one handle: a second could not write


def _filter_of(query: VectorStoreQuery) -> Filter | None:
    filter = translate(query.filters)
    if not query.doc_ids:
        return filter
    of_documents = {REF_DOC_KEY: {"$in": list(query.doc_ids)}}
    return of_documents if filter is None else {"$and": [of_documents, filter]}


def _refuse_dense(query: VectorStoreQuery) -> None:
    mode = VectorStoreQueryMode(query.mode)
    if mode not in _MODES:
        raise InvalidParameterError(
            f"the query mode is '{mode.value}', but this store has no dense vectors: use 'sparse', or join this"
            " store and a dense one with HybridRetriever"
        )
    if query.query_str is None:
        raise InvalidParameterError(
            "the query has no text: this store searches by tokens and cannot use a dense vector; set query_str"
        )
    given = [name for name in _OF_OTHERS if getattr(query, name) is not None]
    if query.alpha not in (None, 0):  # 0 is "sparse alone", which is what happens here
        given.append("alpha")
    if given:
        raise InvalidParameterError(
            f"the query sets {', '.join(given)}, which only stores with dense vectors know: leave it out, or join this"
            " store and a dense one with HybridRetriever"
        )
