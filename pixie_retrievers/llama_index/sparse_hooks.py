"""The encoder behind LlamaIndex's stores for Qdrant and Milvus, through the hooks they have for sparse models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.encoder.base import NO_TERM
from pixie_retrievers.errors import OptionalDependencyError
from pixie_retrievers.models import EncoderChoice, chosen_encoder

if TYPE_CHECKING:
    from pixie_retrievers.types import SparseVectors

__all__ = ["QdrantSparseFunction", "milvus_sparse_function", "qdrant_sparse_functions"]

QdrantSparseFunction: TypeAlias = Callable[[list[str]], tuple[list[list[int]], list[list[float]]]]
"""Texts in; one list of term ids and one of weights a text out."""


def qdrant_sparse_functions(encoder: EncoderChoice) -> dict[str, QdrantSparseFunction]:
    """What ``QdrantVectorStore`` takes to make sparse vectors: ``**qdrant_sparse_functions(encoder)``.

    The store asks for them when it is made with ``enable_hybrid=True``. Its sparse vectors score by dot product.

    Args:
        encoder: Encodes whole batches, as long as the model reads; a model's name or folder, or ``"bundled"``, loads
            one.

    Returns:
        ``sparse_doc_fn`` and ``sparse_query_fn``.
    """
    chosen = chosen_encoder(encoder)
    return {
        "sparse_doc_fn": lambda texts: _indices_and_values(chosen.encode_documents(texts)),
        "sparse_query_fn": lambda texts: _indices_and_values(chosen.encode_queries(texts)),
    }


def milvus_sparse_function(encoder: EncoderChoice) -> Any:
    """What ``MilvusVectorStore`` takes as ``sparse_embedding_function``, beside ``enable_sparse=True``.

    Some versions of Milvus and of its client fail on a vector of nothing, which a text without known tokens has. It
    gets a term that no document has instead, and finds nothing with it.

    Args:
        encoder: As the store asks, texts are encoded one by one when they are added. A model's name or folder, or
            ``"bundled"``, loads one.

    Returns:
        A ``BaseSparseEmbeddingFunction`` of llama-index-vector-stores-milvus, whose async methods leave the event loop
        free.

    Raises:
        OptionalDependencyError: That package is not installed.
    """
    try:
        from llama_index.vector_stores.milvus.utils import BaseSparseEmbeddingFunction
    except ModuleNotFoundError as error:
        raise OptionalDependencyError.of("milvus_sparse_function", "llama-index-vector-stores-milvus") from error

    chosen = chosen_encoder(encoder)

    class PixieSparseFunction(BaseSparseEmbeddingFunction):  # type: ignore[misc]  # its package may not be there
        def encode_queries(self, queries: list[str]) -> list[dict[int, float]]:
            return [row or dict(NO_TERM) for row in chosen.encode_queries(queries).to_dicts()]

        def encode_documents(self, documents: list[str]) -> list[dict[int, float]]:
            return [row or dict(NO_TERM) for row in chosen.encode_documents(documents).to_dicts()]

        async def async_encode_queries(self, queries: list[str]) -> list[dict[int, float]]:
            return await in_thread(self.encode_queries, queries)

        async def async_encode_documents(self, documents: list[str]) -> list[dict[int, float]]:
            return await in_thread(self.encode_documents, documents)

    return PixieSparseFunction()


def _indices_and_values(vectors: SparseVectors) -> tuple[list[list[int]], list[list[float]]]:
    rows = list(vectors)
    return [row.term_ids.tolist() for row in rows], [row.weights.tolist() for row in rows]
