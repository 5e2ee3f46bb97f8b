"""Who opened an index closes it: what retrievers, stores and tool indexes have in common."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.index.base import Index
from pixie_retrievers.models import EncoderChoice
from pixie_retrievers.queries import QueriesChoice
from pixie_retrievers.retriever import SparseRetriever

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Owner", "check_sparse_retriever"]


class Owner:
    """Closes the facade that it opened, and leaves open what was passed in.

    Nothing is declared here at run time: a pydantic model would take it for a field, or be blind to its own.
    """

    if TYPE_CHECKING:
        _owns_index: bool

        @property
        def sparse_retriever(self) -> SparseRetriever:
            """The encoder and index beneath."""

    @classmethod
    def _check_options(cls, **options: Any) -> None:
        """Refuse what this cannot be made with, before a model is loaded for it.

        Raises:
            TypeError: There is no such option.
        """
        inspect.signature(cls).bind_partial(**options)

    @classmethod
    @contextmanager
    def _owning(cls, sparse_retriever: SparseRetriever, **options: Any) -> Iterator[Self]:
        """One that owns the facade, for the rest of its making; whatever is raised meanwhile closes the facade."""
        with ExitStack() as on_error:
            on_error.callback(sparse_retriever.close)
            made = cls(sparse_retriever=sparse_retriever, **options)  # type: ignore[call-arg]  # subclasses take it
            made._owns_index = True
            yield made
            on_error.pop_all()

    @classmethod
    def _over(
        cls,
        source: str | os.PathLike[str] | Index | SparseRetriever,
        encoder: EncoderChoice | None,
        queries: QueriesChoice = None,
        **options: Any,
    ) -> Self:
        """One over an index that is there already, which it owns if it is opened here."""
        cls._check_options(**options)
        sparse_retriever, opened_here = SparseRetriever.from_source(source, encoder=encoder, queries=queries)
        if not opened_here:
            return cls(sparse_retriever=sparse_retriever, **options)  # type: ignore[call-arg]
        with cls._owning(sparse_retriever, **options) as made:
            return made

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the index into a new file; where it was temporary, this goes on in that file, which stays.

        Args:
            path: The new file; it must not exist.

        Raises:
            StorageError, IndexNotFoundError, InvalidParameterError: As
                :meth:`SparseRetriever.backup <pixie_retrievers.SparseRetriever.backup>`.
        """
        self.sparse_retriever.backup(path)

    def close(self) -> None:
        """Close the index if it was opened here, and remove it if it is temporary; one passed in stays open."""
        if self._owns_index:
            self.sparse_retriever.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_sparse_retriever(value: Any, otherwise: str = "") -> None:
    """Refuse what is not a facade before anything is asked of it.

    Args:
        value: What was passed.
        otherwise: What takes the other things that people try to pass.

    Raises:
        InvalidParameterError: It is of another type.
    """
    if not isinstance(value, SparseRetriever):
        raise InvalidParameterError(
            f"sparse_retriever is of type {type(value).__name__}; it must be a SparseRetriever: SparseRetriever.open"
            f" makes one{otherwise and f'; {otherwise}'}"
        )
