"""PixieRetriever: explainable sparse retrieval as a LlamaIndex retriever; a translation, nothing more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.constants import DEFAULT_SIMILARITY_TOP_K
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle
from llama_index.core.settings import Settings

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.llama_index.contents import Contents, storable, store, translate_choice
from pixie_retrievers.llama_index.filters import translate
from pixie_retrievers.llama_index.nodes import to_node
from pixie_retrievers.llama_index.options import Narrowing, RetrieverOptions, check_options
from pixie_retrievers.llama_index.passing import query_text
from pixie_retrievers.ownership import Owner, check_sparse_retriever
from pixie_retrievers.parameters import check_score_threshold, check_top_k_tokens
from pixie_retrievers.queries import QueriesChoice
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.rules.asking import RulesChoice, check_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.indices.base import BaseIndex
    from llama_index.core.schema import Document, TransformComponent
    from llama_index.core.storage.docstore import BaseDocumentStore
    from typing_extensions import Self, Unpack

    from pixie_retrievers.index.base import Index
    from pixie_retrievers.llama_index.filters import NodeFilter
    from pixie_retrievers.models import EncoderChoice
    from pixie_retrievers.types import Document as Stored

__all__ = ["PixieRetriever"]


class PixieRetriever(Owner, Contents, Narrowing, BaseRetriever):
    """Finds nodes by the tokens they share with a query, and says which tokens those were.

    A returned node is the node that went in, and its metadata also holds ``token_explanations``: one dict a token,
    largest contribution first; ``token_explanations_residual``, the score of the tokens that are not listed (the
    contributions and it sum to the node's score); and ``token_explanations_n_tokens``, how many there are. LLM and
    embedding text leave these keys out, and so does the node's ``hash``.

    The text that is searched is ``node.get_content(MetadataMode.EMBED)``. Metadata holds JSON types, and what has a
    form in them: a date comes back as its text, a tuple as a list. An IndexNode gives way to its object as everywhere
    in LlamaIndex; an object that is a node is stored with it, any other lives in ``object_map``.

    Settings may be changed on the retriever itself; for one query, or one user of a server, take a copy that shares
    the index: ``retriever.with_options(filters=..., similarity_top_k=5).retrieve(query)``.

    Nothing needs to be persisted: with ``path=``, what a call stored is on disk when it returns, and
    ``from_index(path)`` opens it again, with the model it was built with. Settings belong to the caller, not to the
    file.

    Threads may share a retriever, and the async methods leave the event loop free.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.llama_index import PixieRetriever
        >>> nodes = [TextNode(text="서울은 한국의 수도이다."), TextNode(text="벼는 논에서 자란다.")]
        >>> retriever = PixieRetriever.from_nodes(nodes, encoder=PixieEncoder.bundled())
        >>> retriever.retrieve("한국의 수도")[0].text
        '서울은 한국의 수도이다.'

    Args:
        sparse_retriever: An encoder and an index, joined. It stays open when this retriever closes.
        similarity_top_k: At most so many nodes.
        filters: ``MetadataFilters``, nested or not, a filter dict of this package, or a callable on a node's metadata;
            applied before the best nodes are taken.
        score_threshold: Drop nodes that score less.
        top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.
        rules: What weighs queries' tokens: True for the index's own rules, False for none, or Rules, or a file's path.
        callback_manager: None means ``Settings.callback_manager``.
        object_map: The objects that IndexNodes stand for, by ``index_id``.
        verbose: Print what objects are entered.

    Raises:
        InvalidParameterError: A number is out of range, or not a number.
        FilterError: The filter means nothing.
    """

    def __init__(
        self,
        sparse_retriever: SparseRetriever,
        *,
        similarity_top_k: int = DEFAULT_SIMILARITY_TOP_K,
        filters: NodeFilter | None = None,
        score_threshold: float | None = None,
        top_k_tokens: int | None = 10,
        rules: RulesChoice = True,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        check_sparse_retriever(sparse_retriever, "from_nodes takes nodes, from_index a path or an index")
        super().__init__(
            callback_manager=callback_manager or Settings.callback_manager,
            object_map=dict(object_map or {}),
            verbose=verbose,
        )
        self._sparse_retriever = sparse_retriever
        self._owns_index = False
        self.similarity_top_k = similarity_top_k
        self.filters = filters
        self.score_threshold = score_threshold
        self.top_k_tokens = top_k_tokens
        self.rules = rules

    @classmethod
    def _check_options(cls, **options: Any) -> None:
        check_options(options)

    @classmethod
    def from_nodes(
        cls,
        nodes: Iterable[BaseNode],
        *,
        encoder: EncoderChoice | None = None,
        path: str | os.PathLike[str] | None = None,
        weights: str | None = None,
        show_progress: bool = False,
        **options: Unpack[RetrieverOptions],
    ) -> Self:
        """Index nodes and retrieve from them.

        Args:
            nodes: Any LlamaIndex nodes; they are left as they are.
            encoder: An encoder; or a model's name or folder, or ``"bundled"``; None loads the default model.
            path: A path or URL, added to when it exists; None puts the index into a temporary file that goes when the
                retriever goes.
            weights: How a new index stores weights: "float32" (exact), "float16" or "uint8"; None takes what an
                existing index has, and "float32" for a new one.
            show_progress: Show a progress bar while encoding.
            options: See the class.

        Raises:
            IncompatibleIndexError: The index at ``path`` was built with another encoder, or stores weights in another
                format.
            InvalidParameterError: There is no such format.
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a node is at fault; nothing was stored.
        """
        cls._check_options(**options)
        nodes, documents = storable(nodes)
        with cls._owning(SparseRetriever.open(path, encoder=encoder, weights=weights), **options) as retriever:
            _store(retriever, nodes, documents, show_progress=show_progress)
            return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        *,
        transformations: Iterable[TransformComponent] | None = None,
        encoder: EncoderChoice | None = None,
        path: str | os.PathLike[str] | None = None,
        weights: str | None = None,
        show_progress: bool = False,
        **options: Unpack[RetrieverOptions],
    ) -> Self:
        """Cut documents into nodes as ``VectorStoreIndex.from_documents`` does, and index those.

        Args:
            documents: What a reader returned; they are left as they are.
            transformations: None means ``Settings.transformations``, a sentence splitter unless set; an empty list
                indexes the documents whole. Node ids are the transformations' own: LlamaIndex's splitters draw them at
                random, so that indexing the same documents into the same file twice stores them twice, unless they are
                given an ``id_func``.
            encoder, path, weights, show_progress, options: As in :meth:`from_nodes`.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a node is at fault; nothing was stored.
        """
        cls._check_options(**options)
        nodes = run_transformations(
            list(documents),
            Settings.transformations if transformations is None else list(transformations),
            show_progress=show_progress,
        )
        return cls.from_nodes(
            nodes, encoder=encoder, path=path, weights=weights, show_progress=show_progress, **options
        )

    @classmethod
    def from_defaults(
        cls,
        index: BaseIndex[Any] | None = None,
        nodes: Iterable[BaseNode] | None = None,
        docstore: BaseDocumentStore | None = None,
        *,
        encoder: EncoderChoice | None = None,
        path: str | os.PathLike[str] | None = None,
        weights: str | None = None,
        show_progress: bool = False,
        **options: Unpack[RetrieverOptions],
    ) -> Self:
        """Retrieve from what LlamaIndex has already, as its BM25Retriever does.

        Args:
            index: A LlamaIndex index, whose docstore's nodes are indexed; one over a PixieVectorStore is searched as it
                is, and nothing is encoded again.
            nodes: As in :meth:`from_nodes`.
            docstore: Its nodes are indexed, as they are now.
            encoder, path, weights, show_progress, options: As in :meth:`from_nodes`.

        Raises:
            InvalidParameterError: Not exactly one of index, nodes and docstore is given, or the index keeps no nodes.
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a node is at fault; nothing was stored.
        """
        if sum(source is not None for source in (index, nodes, docstore)) != 1:
            raise InvalidParameterError("pass exactly one of index, nodes and docstore")
        if index is not None:
            from pixie_retrievers.llama_index.vector_store import PixieVectorStore

            store = getattr(index, "vector_store", None)
            if isinstance(store, PixieVectorStore):
                if path is not None or weights is not None:
                    raise InvalidParameterError(
                        f"the index has its own file, {store.path_or_index}; leave path and weights out"
                    )
                return cls.from_index(store.sparse_retriever, encoder=encoder, **options)
            docstore = index.docstore
            if not docstore.docs:
                raise InvalidParameterError("the index keeps its nodes in its vector store alone: pass nodes")
        if docstore is not None:
            nodes = list(docstore.docs.values())
        return cls.from_nodes(
            nodes or [], encoder=encoder, path=path, weights=weights, show_progress=show_progress, **options
        )

    @classmethod
    def from_index(
        cls,
        path_or_index: str | os.PathLike[str] | Index | SparseRetriever,
        *,
        encoder: EncoderChoice | None = None,
        queries: QueriesChoice = None,
        **options: Unpack[RetrieverOptions],
    ) -> Self:
        """Retrieve from an existing index, whoever wrote it; documents that were not nodes come back as TextNodes.

        Args:
            path_or_index: A path or URL; or an open index or facade, which stays open when this retriever closes.
            encoder: The one the index was built with; None loads it, as the index names it.
            queries: Who encodes questions: None for the model; "inference-free" for the table that the index keeps,
                without loading a model; or a ``QueryTable``, or the path of a saved one.
            options: See the class.

        Raises:
            IndexNotFoundError: Nothing is at the path.
            IncompatibleIndexError: The index was built with another encoder.
            InvalidParameterError: An encoder is passed beside a facade that has another.
        """
        return cls._over(path_or_index, encoder, queries, **options)

    @property
    def sparse_retriever(self) -> SparseRetriever:
        """The encoder and index beneath, with ``search``, ``explain`` and the rest."""
        return self._sparse_retriever

    @property
    def score_threshold(self) -> float | None:
        """Nodes that score less are dropped; None keeps all."""
        return self._score_threshold

    @score_threshold.setter
    def score_threshold(self, value: float | None) -> None:
        check_score_threshold(value)
        self._score_threshold = None if value is None else float(value)

    @property
    def top_k_tokens(self) -> int | None:
        """At most so many tokens stand in an explanation; None for all; 0 for no explanation."""
        return self._top_k_tokens

    @top_k_tokens.setter
    def top_k_tokens(self, value: int | None) -> None:
        check_top_k_tokens(value)
        self._top_k_tokens = None if value is None else int(value)

    @property
    def rules(self) -> RulesChoice:
        """The rules that weigh queries' tokens: the index's own (True), none (False), or others."""
        return self._rules

    @rules.setter
    def rules(self, value: RulesChoice) -> None:
        check_rules(value)
        self._rules = value

    def with_options(self, **options: Unpack[RetrieverOptions]) -> Self:
        """A copy over the same index with some settings replaced; this retriever stays as it is.

        Args:
            options: See the class. A filter takes the place of the one that was set. Closing the copy closes nothing.

        Raises:
            InvalidParameterError, FilterError: as in the class.
        """
        settings = RetrieverOptions(
            similarity_top_k=self.similarity_top_k,
            filters=self.filters,
            score_threshold=self.score_threshold,
            top_k_tokens=self.top_k_tokens,
            rules=self.rules,
            callback_manager=self.callback_manager,
            verbose=self._verbose,
        )
        settings.update(options)
        twin = type(self)(self._sparse_retriever, **settings)
        if "object_map" not in options:
            twin.object_map = self.object_map
        return twin

    def with_filters(self, filters: NodeFilter | None) -> Self:
        """A copy over the same index that these filters hold for: ``retriever.with_filters(mine).retrieve(query)``."""
        return self.with_options(filters=filters)

    def add_nodes(self, nodes: Iterable[BaseNode], *, show_progress: bool = False) -> list[str]:
        """Index more nodes, replacing those whose id is known; return their ids.

        Only texts that are new to their ids are encoded.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a node is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        return _store(self, *storable(nodes), show_progress=show_progress)

    async def aadd_nodes(self, nodes: Iterable[BaseNode], *, show_progress: bool = False) -> list[str]:
        """As :meth:`add_nodes`, which holds the event loop up for the whole encoding."""
        return await in_thread(self.add_nodes, nodes, show_progress=show_progress)

    def get_nodes(self, node_ids: Iterable[str]) -> list[BaseNode | None]:
        """The nodes under the ids, in order; None for an id that is not there."""
        documents = self._sparse_retriever.get(node_ids)
        return [None if document is None else to_node(document) for document in documents]

    async def aget_nodes(self, node_ids: Iterable[str]) -> list[BaseNode | None]:
        """As :meth:`get_nodes`."""
        return await in_thread(self.get_nodes, node_ids)

    def delete_nodes(self, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None) -> int:
        """Remove nodes by their ids, by filters, or those that both hold for, in one commit; return how many existed.

        Raises:
            InvalidParameterError: Neither is given.
        """
        return self._sparse_retriever.delete(node_ids, filter=translate_choice(filters))

    async def adelete_nodes(self, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None) -> int:
        """As :meth:`delete_nodes`."""
        return await in_thread(self.delete_nodes, node_ids, filters)

    def __repr__(self) -> str:
        return f"PixieRetriever({self._sparse_retriever.index!r}, similarity_top_k={self.similarity_top_k})"

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        results = self._sparse_retriever.search(
            query_text(query_bundle),
            self.similarity_top_k,
            filter=translate(self._filters),  # as they are now: MetadataFilters can be changed
            top_k_tokens=self.top_k_tokens,
            score_threshold=self.score_threshold,
            rules=self.rules,
        )
        return [NodeWithScore(node=to_node(one.document, one.explanation), score=one.score) for one in results]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await in_thread(self._retrieve, query_bundle)


def _store(
    retriever: PixieRetriever, nodes: list[BaseNode], documents: list[Stored], *, show_progress: bool
) -> list[str]:
    ids = store(nodes, documents, retriever.sparse_retriever, show_progress=show_progress)
    retriever.object_map.update(  # an index file has no place for a query engine
        {node.index_id: node.obj for node in nodes if isinstance(node, IndexNode) and node.obj is not None}
    )
    return ids
