"""PixieSparseEmbeddings: the encoder alone, for LangChain stores that keep sparse vectors elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.encoder.base import NO_TERM
from pixie_retrievers.errors import OptionalDependencyError
from pixie_retrievers.models import EncoderChoice, chosen_encoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_milvus.utils.sparse import BaseSparseEmbedding
    from langchain_qdrant.sparse_embeddings import SparseEmbeddings

    from pixie_retrievers.types import SparseVectors

__all__ = ["PixieSparseEmbeddings"]


class PixieSparseEmbeddings:
    """Texts to sparse vectors, as ``{term id: weight}``.

    langchain-qdrant and langchain-milvus each have a class of their own for this, and check for it:
    :meth:`for_qdrant` and :meth:`for_milvus` give theirs.

    Args:
        encoder: An encoder; or a model's name or folder, or ``"bundled"``; None loads the default model.
    """

    def __init__(self, encoder: EncoderChoice | None = None) -> None:
        self.encoder = chosen_encoder(encoder)

    def embed_documents(self, texts: Iterable[str]) -> list[dict[int, float]]:
        """One vector a text; an empty text gives an empty one.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
        """
        return self.encoder.encode_documents(texts if isinstance(texts, str) else list(texts)).to_dicts()

    def embed_query(self, text: str) -> dict[int, float]:
        """The vector of a query; an empty text gives an empty one.

        Raises:
            InvalidTextError: The text is not a string or cannot be written as UTF-8.
        """
        return self.encoder.encode_queries([text]).to_dicts()[0]

    async def aembed_documents(self, texts: Iterable[str]) -> list[dict[int, float]]:
        """:meth:`embed_documents` in a thread."""
        return await in_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> dict[int, float]:
        """:meth:`embed_query` in a thread."""
        return await in_thread(self.embed_query, text)

    def for_qdrant(self) -> SparseEmbeddings:
        """The same as langchain-qdrant's ``SparseEmbeddings``, for ``QdrantVectorStore(sparse_embedding=...)``.

        Raises:
            OptionalDependencyError: langchain-qdrant is not installed.
        """
        try:
            from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
        except ModuleNotFoundError as error:
            raise OptionalDependencyError.of("for_qdrant", "langchain-qdrant") from error

        def translated(vectors: SparseVectors) -> list[SparseVector]:
            return [SparseVector(indices=row.term_ids.tolist(), values=row.weights.tolist()) for row in vectors]

        encoder = self.encoder

        class PixieQdrantEmbeddings(SparseEmbeddings):
            def embed_documents(self, texts: list[str]) -> list[SparseVector]:
                return translated(encoder.encode_documents(texts))

            def embed_query(self, text: str) -> SparseVector:
                return translated(encoder.encode_queries([text]))[0]

        return PixieQdrantEmbeddings()

    def for_milvus(self) -> BaseSparseEmbedding:
        """The same as langchain-milvus's ``BaseSparseEmbedding``, for ``Milvus(embedding_function=...)``.

        Some versions of Milvus and of its client fail on a vector of nothing, which a text without known tokens has.
        It gets a term that no document has instead, and finds nothing with it.

        Raises:
            OptionalDependencyError: langchain-milvus is not installed.
        """
        try:
            from langchain_milvus.utils.sparse import BaseSparseEmbedding
        except ModuleNotFoundError as error:
            raise OptionalDependencyError.of("for_milvus", "langchain-milvus") from error

        embeddings = self

        class PixieMilvusEmbeddings(BaseSparseEmbedding):  # type: ignore[misc, unused-ignore]
            def embed_documents(self, texts: list[str]) -> list[dict[int, float]]:
                return [row or dict(NO_TERM) for row in embeddings.embed_documents(texts)]

            def embed_query(self, query: str) -> dict[int, float]:
                return embeddings.embed_query(query) or dict(NO_TERM)

        return PixieMilvusEmbeddings()
