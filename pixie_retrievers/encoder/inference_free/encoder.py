"""InferenceFreeEncoder: questions by a table, documents by the model, which is loaded when there are any."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.forward import Kind
from pixie_retrievers.encoder.inference_free.table import QueryTable
from pixie_retrievers.encoder.naming import NamesInTexts
from pixie_retrievers.encoder.texts import checked_texts
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.types import RaisedBy, SparseVectors, TextSpans

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["InferenceFreeEncoder"]


class InferenceFreeEncoder:
    """Questions in, explainable sparse vectors out, without a model: what a table says of their tokens.

    A process that only searches imports neither torch nor transformers. Safe to use from many threads.

    Args:
        table: What a question's tokens weigh.
        load_model: Gives the model for documents; called once, when a document is to be encoded.
    """

    def __init__(self, table: QueryTable, load_model: Callable[[], Encoder]) -> None:
        self.table = table
        self._load_model = load_model
        self._model: Encoder | None = None
        self._lock = threading.Lock()

    def __copy__(self) -> Self:
        return self  # it never changes

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"InferenceFreeEncoder({self.table.origin.source}, {self.table.origin.n_texts} texts)"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self._load_model)

    @property
    def model(self) -> Encoder:
        """The model, which is loaded first where it was not needed before.

        Raises:
            ModelUnavailableError, OptionalDependencyError: It cannot be loaded here.
        """
        with self._lock:
            if self._model is None:
                self._model = self._load_model()
            return self._model

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write table and model as one model that plain sentence-transformers loads: queries by the table.

        Args:
            folder: A new folder.

        Raises:
            InvalidParameterError: The table has expansions, for which that format has no place; or the model is not a
                PixieEncoder, or has a route for queries of its own.
            StorageError: There is something at the path, or it cannot be written.
            ModelUnavailableError, OptionalDependencyError: The model cannot be loaded here.
        """
        from pixie_retrievers.encoder.inference_free.standard import save_standard_model

        save_standard_model(self.table, self.model, folder)

    @property
    def vocabulary_size(self) -> int:
        """The number of terms."""
        return len(self.table.weights)

    @property
    def max_length(self) -> int:
        """Where texts are cut, in tokens, special ones included."""
        return self.table.max_length

    @property
    def fingerprint(self) -> str:
        """The identity of the model that documents are encoded with."""
        return self.table.origin.model

    @property
    def query_fingerprint(self) -> str:
        """The identity of the table that questions are encoded with."""
        return self.table.fingerprint

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """One vector a text, by the table; an empty text, or one of white space, gives an empty vector.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
            UnsafeModelError: The tokenizer breaks down at a text.
        """
        return self.table.encode(checked_texts(texts))

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> SparseVectors:
        """One vector a text, by the model, which is loaded first where it was not needed before.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
            ModelUnavailableError, OptionalDependencyError: The model cannot be loaded here.
        """
        return self.model.encode_documents(checked_texts(texts), show_progress=show_progress)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has as a document, all of it, prompt and special tokens included.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
        """
        return self.table.vocabulary.count(checked_texts(texts), self.table.document_prompt)

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term, markers included.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
        """
        return self.table.vocabulary.tokens(term_ids)

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
        """
        return self.table.vocabulary.surfaces(term_ids)

    def names_in(self, query: str, document: str) -> NamesInTexts:
        """Names for the terms that two texts share: as :meth:`surfaces`, but never a part of a character."""
        return NamesInTexts(self.table.vocabulary, query, document, self.table.document_prompt)

    def spans(self, text: str, *, kind: Kind = "document") -> TextSpans:
        """What of a text is read, and where each of its terms stands.

        Args:
            text: A text.
            kind: "document" or "query", which is read without a prompt.

        Raises:
            InvalidTextError: The text is not a string or cannot be written as UTF-8.
        """
        prompt = self.table.document_prompt if kind == "document" else ""
        return self.table.vocabulary.located(checked_texts([text])[0], prompt)[2]

    def raised_by(self, text: str, term_ids: Sequence[int], *, kind: Kind = "document") -> dict[int, RaisedBy]:
        """Which of a text's tokens raised each of some terms: the table says it of a question, the model of a document.

        Raises:
            InvalidParameterError: A term is outside the vocabulary, or the encoder of documents cannot say.
            ModelUnavailableError, OptionalDependencyError: The model cannot be loaded here.
        """
        if kind == "query":
            return self.table.raised_by(checked_texts([text])[0], term_ids)
        ask = getattr(self.model, "raised_by", None)
        if ask is None:
            raise InvalidParameterError(f"a {type(self.model).__name__} cannot say what raised a token")
        found: dict[int, RaisedBy] = ask(text, term_ids, kind=kind)
        return found
