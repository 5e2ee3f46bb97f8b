"""What the retriever asks of an encoder: anything with these members will do."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from pixie_retrievers.types import SparseVectors

__all__ = ["NO_TERM", "Encoder"]

NO_TERM = MappingProxyType({0: 2.0**-30})
"""What stands for an empty vector where a store fails on one: term 0 is a special token, which no vector has."""


@runtime_checkable
class Encoder(Protocol):
    """Text in, sparse vectors out, and back from terms to what a person can read.

    Its vectors say which of their terms the text itself is made of (:attr:`SparseVectors.literal`), as far as the model
    read it, so that explanations can tell them from expansions.

    An encoder may know more, as :class:`~pixie_retrievers.PixieEncoder` does: better names beside two texts
    (``names_in``), where in a text its terms stand (``spans``), which token raised a term (``raised_by``).
    """

    @property
    def vocabulary_size(self) -> int:
        """The number of terms."""
        ...

    @property
    def fingerprint(self) -> str:
        """The model's identity: equal fingerprints give equal vectors. An index remembers it."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """One vector a text; an empty text gives an empty vector.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
        """
        ...

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> SparseVectors:
        """One vector a text; an empty text gives an empty vector.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
        """
        ...

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term, markers included."""
        ...

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it: no ``##``, no ``▁``, no byte alphabet."""
        ...
