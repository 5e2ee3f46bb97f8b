"""TokenExplainer: why the sparse model would have found what any LangChain retriever found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import PrivateAttr

from pixie_retrievers.langchain.documents import to_stored
from pixie_retrievers.ownership import Owner
from pixie_retrievers.parameters import check_top_k_tokens
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.types.metadata import TOKEN_SCORE, token_notes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from langchain_core.callbacks import Callbacks

    from pixie_retrievers.index.base import Index
    from pixie_retrievers.models import EncoderChoice

__all__ = ["TokenExplainer"]


class TokenExplainer(Owner, BaseDocumentCompressor):
    """A document compressor that drops nothing and explains any documents: those of a dense retriever or a fusion.

    A document comes back in its place, as a copy that has more entries in its metadata: ``token_explanations`` and what
    stands beside them, as :class:`~pixie_retrievers.langchain.PixieRetriever` makes them, and
    ``token_explanations_score``, which they sum to: what the sparse model would have given the document. Where query
    and document share no token, the one is empty and the other 0.

    It costs the encoding of the query and one look-up by the documents' ids; a document without one is looked up by the
    id that its content gives it here. Documents that the index lacks are encoded, in one batch. Asynchronously it runs
    in a thread.

    Example:
        >>> from langchain_core.documents import Document
        >>> from pixie_retrievers import PixieEncoder, SparseRetriever
        >>> from pixie_retrievers.langchain import TokenExplainer
        >>> explainer = TokenExplainer(SparseRetriever.open(encoder=PixieEncoder.bundled()))
        >>> dense = [Document("서울은 한국의 수도이다.")]
        >>> (found,) = explainer.compress_documents(dense, "한국의 수도")
        >>> found.metadata["token_explanations"][0]["surface"]
        '수도'

    Args:
        source: The index that holds the documents: a path or URL, opened here; or an open index, a facade, or what is
            built on one, as PixieRetriever and PixieVectorStore, which stays open.
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
        source: str | PathLike[str] | Index | SparseRetriever | Owner,
        *,
        encoder: EncoderChoice | None = None,
        top_k_tokens: int | None = 10,
    ) -> None:
        check_top_k_tokens(top_k_tokens)
        fields: dict[str, Any] = {"top_k_tokens": top_k_tokens}
        super().__init__(**fields)
        beneath = source.sparse_retriever if isinstance(source, Owner) else source
        self._sparse_retriever, self._owns_index = SparseRetriever.from_source(beneath, encoder=encoder)

    @property
    def sparse_retriever(self) -> SparseRetriever:
        """The encoder and index beneath."""
        return self._sparse_retriever

    def compress_documents(
        self,
        documents: Iterable[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002  # LangChain's signature
    ) -> list[Document]:
        """The documents in their order, each explained.

        Raises:
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
        """
        documents = list(documents)
        explanations = self._sparse_retriever.explain_many(
            query,
            map(to_stored, documents),
            top_k_tokens=self.top_k_tokens,
        )
        return [
            one.model_copy(
                update={
                    "metadata": {**one.metadata, **token_notes(why), TOKEN_SCORE: why.score},
                }
            )
            for one, why in zip(documents, explanations, strict=True)
        ]
