"""TokenExplainer: why the sparse model would have found what any LlamaIndex retriever found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.llama_index.nodes import annotated
from pixie_retrievers.llama_index.passing import query_text
from pixie_retrievers.ownership import Owner
from pixie_retrievers.parameters import check_top_k_tokens
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.types import Document
from pixie_retrievers.types.metadata import TOKEN_SCORE, token_notes

if TYPE_CHECKING:
    from pixie_retrievers.index.base import Index
    from pixie_retrievers.models import EncoderChoice

__all__ = ["TokenExplainer"]


class TokenExplainer(Owner, BaseNodePostprocessor):
    """A node postprocessor that explains any nodes: those of a dense retriever, of a fusion, of a reranker.

    A node comes back in its place, with its score, as a copy that has notes in its metadata, which LLM and embedding
    text and the node's ``hash`` leave out as they do a retriever's own: ``token_explanations`` and what stands beside
    them, as :class:`~pixie_retrievers.llama_index.PixieRetriever` makes them, and ``token_explanations_score``, which
    they sum to: what the sparse model would have given the node. Where query and node share no token, the tokens are
    none and the score is 0.

    It costs the encoding of the query and one look-up by the nodes' ids. Nodes that the index lacks are encoded by
    their embedding text, in one batch. Asynchronously it runs in a thread.

    Example:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> from pixie_retrievers import PixieEncoder, SparseRetriever
        >>> from pixie_retrievers.llama_index import TokenExplainer
        >>> explainer = TokenExplainer(SparseRetriever.open(encoder=PixieEncoder.bundled()))
        >>> dense = [NodeWithScore(node=TextNode(text="서울은 한국의 수도이다."), score=0.75)]
        >>> (hit,) = explainer.postprocess_nodes(dense, query_str="한국의 수도")
        >>> hit.score, hit.metadata["token_explanations"][0]["surface"]
        (0.75, '수도')

    Args:
        source: The index that holds the nodes: a path or URL, opened here; or an open index, a facade, or what is built
            on one, as PixieRetriever and PixieVectorStore, which stays open.
        encoder: The one the index was built with, or its model's name or folder; None loads it, as the index names it.
        top_k_tokens: At most so many tokens in an explanation; None for all.

    Raises:
        IndexNotFoundError: Nothing is at the path.
        IncompatibleIndexError: The index was built with another encoder.
        InvalidParameterError: ``top_k_tokens`` is out of range; or the source is something else.
    """

    top_k_tokens: int | None = 10

    _sparse_retriever: SparseRetriever = PrivateAttr()
    _owns_index: bool = PrivateAttr()

    def __init__(
        self,
        source: str | os.PathLike[str] | Index | SparseRetriever | Owner,
        *,
        encoder: EncoderChoice | None = None,
        top_k_tokens: int | None = 10,
    ) -> None:
        check_top_k_tokens(top_k_tokens)
        fields: dict[str, Any] = {"top_k_tokens": top_k_tokens}
        super().__init__(**fields)
        beneath = source.sparse_retriever if isinstance(source, Owner) else source
        self._sparse_retriever, self._owns_index = SparseRetriever.from_source(beneath, encoder=encoder)

    @classmethod
    def class_name(cls) -> str:
        """The name that serialised components carry."""
        return "TokenExplainer"

    @property
    def sparse_retriever(self) -> SparseRetriever:
        """The encoder and index beneath."""
        return self._sparse_retriever

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InvalidParameterError("there is no query to explain nodes for: pass query_str or query_bundle")
        documents = [Document(hit.node.node_id, hit.node.get_content(MetadataMode.EMBED)) for hit in nodes]
        explanations = self._sparse_retriever.explain_many(
            query_text(query_bundle), documents, top_k_tokens=self.top_k_tokens
        )
        return [
            NodeWithScore(
                node=annotated(hit.node, {**token_notes(why), TOKEN_SCORE: why.score}),
                score=hit.score,
            )
            for hit, why in zip(nodes, explanations, strict=True)
        ]
