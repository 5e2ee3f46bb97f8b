"""The encoder where LlamaIndex expects embedding models; a translation, nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding, SparseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.fingerprints import differences
from pixie_retrievers.llama_index.passing import announce_progress
from pixie_retrievers.models import EncoderChoice, chosen_encoder
from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.types import sum_contributions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pixie_retrievers.encoder.base import Encoder

__all__ = ["PixieSparseEmbedding", "SparseOnly"]


class PixieSparseEmbedding(BaseSparseEmbedding):
    """Text to ``{term id: weight}``, by the encoder that the retriever and the index use.

    Similarity is the dot product, which SPLADE models are trained for; the base class's is the cosine. Async methods
    leave the event loop free. Serialised, an embedding is the fingerprint of its model and the settings below.

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.llama_index import PixieSparseEmbedding
        >>> embedding = PixieSparseEmbedding(PixieEncoder.bundled())
        >>> query = embedding.get_query_embedding("한국의 수도")
        >>> seoul, rice = embedding.get_text_embedding_batch(["서울은 한국의 수도이다.", "벼는 논에서 자란다."])
        >>> embedding.similarity(query, seoul) > embedding.similarity(query, rice)
        True

    Args:
        encoder: An encoder; or a model's name or folder, or ``"bundled"``. None loads the model that ``fingerprint``
            names, or the default model.
        fingerprint: As :attr:`PixieEncoder.fingerprint`; a serialised embedding says so of itself.
        model_name: What to call the model in events; None takes the encoder's own name.
        embed_batch_size: How many texts are handed over at once, 1 to 2048. The encoder makes its own batches of them,
            by tokens.
        num_workers: How many such hand-overs :meth:`aget_text_embedding_batch` runs at a time.

    Raises:
        ModelUnavailableError: A model was needed and cannot be loaded.
        IncompatibleIndexError: The encoder has another fingerprint than the one given, or that means nothing.
    """

    fingerprint: str

    _encoder: Encoder = PrivateAttr()

    def __init__(
        self,
        encoder: EncoderChoice | None = None,
        *,
        fingerprint: str | None = None,
        model_name: str | None = None,
        embed_batch_size: int = 256,
        num_workers: int | None = None,
    ) -> None:
        encoder = chosen_encoder(encoder, fingerprint)
        if fingerprint is not None and (found := differences(fingerprint, encoder.fingerprint)):
            raise InvalidParameterError(
                f"fingerprint and encoder are of different models: {found}; pass one of the two"
            )
        check_whole_number("embed_batch_size", embed_batch_size)
        check_whole_number("num_workers", num_workers, none_means="one after the other")
        fields: dict[str, Any] = {
            "model_name": model_name or getattr(encoder, "name", type(encoder).__name__),
            "fingerprint": encoder.fingerprint,
            "embed_batch_size": embed_batch_size,
            "num_workers": num_workers,
        }
        super().__init__(**fields)
        self._encoder = encoder

    @classmethod
    def class_name(cls) -> str:
        """The name that serialised embeddings carry."""
        return "PixieSparseEmbedding"

    @property
    def encoder(self) -> Encoder:
        """The encoder beneath."""
        return self._encoder

    def similarity(self, embedding1: SparseEmbedding, embedding2: SparseEmbedding) -> float:
        """The dot product of two embeddings, the score of a retriever."""
        shared = sorted(embedding1.keys() & embedding2.keys())
        return sum_contributions([embedding1[term] * embedding2[term] for term in shared])

    def _get_query_embedding(self, query: str) -> SparseEmbedding:
        return self._encoder.encode_queries([query]).to_dicts()[0]

    async def _aget_query_embedding(self, query: str) -> SparseEmbedding:
        return await in_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> SparseEmbedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> SparseEmbedding:
        return await in_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[SparseEmbedding]:
        return self._encoder.encode_documents(texts).to_dicts()

    async def _aget_text_embeddings(self, texts: list[str]) -> list[SparseEmbedding]:
        return await in_thread(self._get_text_embeddings, texts)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.model_dump().items() if name != "class_name"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # a state is what makes a new one

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> PixieSparseEmbedding:
        return self.model_copy()  # the model itself is shared, as threads share it


class SparseOnly(BaseEmbedding):
    """Stands where LlamaIndex wants a dense embedding model and there is none to be: loads nothing, embeds nothing.

    ``VectorStoreIndex(..., embed_model=SparseOnly())`` and an IngestionPipeline whose last transformation is
    ``SparseOnly()`` hand their nodes to a :class:`PixieVectorStore` with an empty embedding, which it does not look at;
    without one, IngestionPipeline would not hand them over at all. The store takes the empty embedding away, so that
    the same nodes may go on into a dense index. A query that needs a dense vector is an error.

    ``show_progress`` is handed on to the store, which does the work.
    """

    model_name: str = "sparse-only"

    @classmethod
    def class_name(cls) -> str:
        """The name that serialised components carry."""
        return "SparseOnly"

    def _get_query_embedding(self, query: str) -> list[float]:  # noqa: ARG002
        raise InvalidParameterError(
            "a dense query vector was asked for, but there is no dense embedding model here: search a PixieVectorStore,"
            " or give the index the model that its vectors came from"
        )

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:  # noqa: ARG002
        return []

    def get_text_embedding_batch(
        self, texts: Iterable[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """An empty embedding a text; what takes time, and is worth a progress bar, is the store's encoding."""
        announce_progress(show_progress)
        return super().get_text_embedding_batch(list(texts), **kwargs)

    async def aget_text_embedding_batch(
        self, texts: Iterable[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """As :meth:`get_text_embedding_batch`."""
        announce_progress(show_progress)
        return await super().aget_text_embedding_batch(list(texts), **kwargs)
