"""SparseRetriever: an encoder and an index joined; the one facade that every adapter uses."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from pixie_retrievers.diversity import max_marginal_relevance
from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.errors import IncompatibleIndexError, InvalidParameterError, InvalidTextError
from pixie_retrievers.explaining import listed, results_of
from pixie_retrievers.filters import Filter
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.documents import storable, with_ids
from pixie_retrievers.index.opening import begin_index, is_there, names_no_file, open_index, remove_index
from pixie_retrievers.indexing import Indexed, index_documents, sync_documents
from pixie_retrievers.parameters import (
    check_number,
    check_parts,
    check_score_threshold,
    check_top_k_tokens,
    check_whole_number,
)
from pixie_retrievers.reasons import Reasons
from pixie_retrievers.types import Document, SearchResults

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SparseRetriever"]


class SparseRetriever(Reasons):
    """Documents in, explained hits out.

    Args:
        encoder: Turns text into sparse vectors. Closing the retriever leaves it alone.
        index: Holds the vectors. The retriever closes it.

    Raises:
        InvalidParameterError, IncompatibleIndexError: One of the two is not what it should be, or of another model.
    """

    def __init__(self, encoder: Encoder, index: Index) -> None:
        check_parts(encoder=encoder, index=index)
        if index.vocabulary_size != encoder.vocabulary_size or index.fingerprint != encoder.fingerprint:
            raise IncompatibleIndexError(
                f"the index was built with '{index.fingerprint}' ({index.vocabulary_size} terms), the encoder is"
                f" '{encoder.fingerprint}' ({encoder.vocabulary_size} terms): open the index with the encoder it was"
                " built with, or build a new one"
            )
        self.encoder = encoder
        self.index = index
        self._remove_temporary: Callable[[], object] | None = None

    @classmethod
    def open(
        cls, path: str | os.PathLike[str] | None = None, *, encoder: Encoder | None = None, weights: str | None = None
    ) -> Self:
        """Open the index at a path, or begin a new one there.

        Args:
            path: An index file, or the URL of a server's index (:func:`~pixie_retrievers.open_index`). None or
                ``":memory:"`` puts the index into a temporary file that goes when the retriever goes. A file without
                content is a new index.
            encoder: None loads the model that an existing index was built with, and the default model for a new one.
            weights: How a new index stores weights: "float32" (exact), "float16" or "uint8"; None takes what an
                existing index has, and "float32" for a new one.

        Raises:
            ModelUnavailableError: A model was needed and cannot be loaded.
            IncompatibleIndexError: The index was built with another encoder, or stores weights in another format.
            InvalidParameterError: There is no such format.
        """
        if names_no_file(path):
            path = None
        if path is not None and is_there(path):
            if weights is not None:
                begin_index(path, vocabulary_size=None, fingerprint=None, weights=weights).close()  # refuses another
            return cls.from_index(path, encoder=encoder)
        if encoder is None:
            from pixie_retrievers.encoder.pixie import PixieEncoder

            encoder = PixieEncoder()
        check_parts(encoder=encoder)
        begin = partial(
            begin_index, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint, weights=weights
        )
        if path is not None:
            return cls(encoder, begin(path))
        directory = mkdtemp(prefix="pixie-")
        with ExitStack() as on_error:
            on_error.callback(shutil.rmtree, directory, ignore_errors=True)
            index = begin(Path(directory, "index.db"))
            retriever = cls(encoder, index)
            retriever._remove_temporary = weakref.finalize(retriever, remove_index, index, directory, os.getpid())
            on_error.pop_all()
        return retriever

    @classmethod
    def from_index(
        cls, source: str | os.PathLike[str] | Index, *, encoder: Encoder | None = None, read_only: bool = False
    ) -> Self:
        """Retrieve from an index that is there already.

        Args:
            source: The path or URL of an index, or an open index.
            encoder: The one the index was built with; None loads it, as the index's fingerprint names it.
            read_only: Open the file without the right to write. It is not locked before the first write anyway.

        Raises:
            IndexNotFoundError: Nothing is at the path.
            ModelUnavailableError: The model cannot be loaded, or was a local folder: pass the encoder.
            IncompatibleIndexError: The index was built with another encoder.
        """
        index = open_index(source, read_only=read_only) if isinstance(source, (str, os.PathLike)) else source
        try:
            if encoder is None:
                from pixie_retrievers.encoder.pixie import PixieEncoder

                encoder = PixieEncoder.from_fingerprint(index.fingerprint)
            return cls(encoder, index)
        except BaseException:
            if index is not source:
                index.close()
            raise

    @classmethod
    def from_source(
        cls, source: str | os.PathLike[str] | Index | SparseRetriever, *, encoder: Encoder | None = None
    ) -> tuple[SparseRetriever, bool]:
        """Whatever a caller has of an index, as a facade, and whether it was opened here and is theirs to close.

        Args:
            source: The path or URL of an index; or an open index or facade, which whoever opened it closes.
            encoder: As for :meth:`from_index`; a facade has its own.

        Raises:
            IndexNotFoundError, ModelUnavailableError, IncompatibleIndexError: As for :meth:`from_index`.
            InvalidParameterError: The source is none of these, or an encoder stands beside a facade that has another.
        """
        if isinstance(source, SparseRetriever):
            if encoder is not None and encoder is not source.encoder:
                raise InvalidParameterError("the SparseRetriever has an encoder of its own: leave encoder out")
            return source, False
        if isinstance(source, (str, os.PathLike)):
            return cls.from_index(source, encoder=encoder), True
        if not isinstance(source, Index):
            raise InvalidParameterError(
                f"the index is of type {type(source).__name__}: pass a path, an open index or a SparseRetriever"
            )
        return cls.from_index(source, encoder=encoder), False

    def add(self, documents: Iterable[Document], *, show_progress: bool = False) -> list[str]:
        """Encode and store documents in one commit, replacing those whose id is known; return their ids.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a document is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        documents = storable(documents)  # before the long part, not after it
        vectors = self.encoder.encode_documents([document.text for document in documents], show_progress=show_progress)
        self.index.upsert(documents, vectors)
        return [document.id for document in documents]

    def add_stream(
        self,
        documents: Iterable[Document],
        *,
        total: int | None = None,
        show_progress: bool = False,
        devices: Sequence[str] | None = None,
    ) -> Indexed:
        """Encode and store any number of documents in bounded memory, group by group; say what became of them.

        Documents that are stored already, word for word, are not encoded again: a run that was interrupted goes on
        where it stopped.

        Args:
            documents: Read once, and only as far ahead as a group of at most 10,000 documents, which is one commit.
            total: How many there are, for the progress bar; None where nobody knows.
            show_progress: Show how many are done, how fast, and how long it will take.
            devices: One process for each, as ``["cuda:0", "cuda:1"]`` or ``["cpu"] * 4``; None encodes in this process.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document of a group is at fault, and nothing of
                its group is stored; earlier groups are.
            IndexLockedError: Another writer holds the index.
            ModelUnavailableError: An encoding process could not start, or ended.
        """
        with progress(total, shown=show_progress) as advance:
            return index_documents(self.index, self.encoder, documents, devices=devices, advance=advance)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        *,
        show_progress: bool = False,
    ) -> list[str]:
        """The same from loose texts; return the ids.

        Args:
            texts: The texts.
            metadatas: One mapping a text; None means no metadata.
            ids: One id a text. A missing one is made from the content, so that adding the same texts again changes
                nothing instead of storing them twice.
            show_progress: Show a progress bar while encoding.

        Raises:
            InvalidParameterError: ``metadatas`` or ``ids`` is of another length than ``texts``.
        """
        return self.add(with_ids(texts, metadatas, ids), show_progress=show_progress)

    def sync(
        self,
        documents: Iterable[Document],
        *,
        filter: Filter | None = None,
        max_deleted: float = 0.5,
        show_progress: bool = False,
        devices: Sequence[str] | None = None,
    ) -> Indexed:
        """Make the index hold these documents and no others; say what became of them.

        New and changed documents are stored first, in commits as :meth:`add_stream` makes; the last commit deletes what
        else is there. Interrupted, the index is sound, some of this is done, and the next call does the rest.

        With a filter, of one source: ``retriever.sync(chunks, filter={"source": "rules.md"})`` deletes what came from
        ``rules.md`` and is not in it any more, and leaves other sources alone.

        Args:
            documents: All that should be there. They are read twice: an iterator is put into a list first.
            filter: Only what passes it may be deleted, and every one of ``documents`` has to pass it; None for all.
            max_deleted: The largest share of the index that may be deleted, 0 to 1: it saves the index from a source
                that could not be read. 1 lets any number go.
            show_progress, devices: As for :meth:`add_stream`.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was changed.
            InvalidParameterError: A larger share would be deleted; nothing was changed.
            FilterError, IndexLockedError: The filter means nothing; another writer holds the index.
        """
        with progress(None, shown=show_progress) as advance:
            return sync_documents(
                self.index,
                self.encoder,
                documents,
                filter=filter,
                max_deleted=max_deleted,
                devices=devices,
                advance=advance,
            )

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents in one commit; return how many existed."""
        return self.index.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        return self.index.get(ids)

    def __len__(self) -> int:
        return len(self.index)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Sequence[str] | None = None,
        top_k_tokens: int | None = 10,
        score_threshold: float | None = None,
    ) -> SearchResults:
        """The k best documents of a query, as new objects: the caller may change their metadata.

        Args:
            query: A text. An empty one with a filter lists what passes, in insertion order, at score 0.
            k: At most so many results, 1 or more; fewer come back when fewer documents share a token.
            filter: Which documents count, by their metadata; applied before the k best are taken.
            ids: Only documents under these ids count; None for all.
            top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.
            score_threshold: Drop results that score less; None keeps all.

        Raises:
            InvalidParameterError: ``k``, ``top_k_tokens`` or ``score_threshold`` is out of range or not a number.
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
            InvalidDocumentError: An id is not a string.
            FilterError: The filter means nothing.
        """
        if not isinstance(query, str):
            raise InvalidTextError(
                f"the query is of type {type(query).__name__}, not a string: search_many takes several queries"
            )
        return self.search_many(
            [query], k, filter=filter, ids=ids, top_k_tokens=top_k_tokens, score_threshold=score_threshold
        )[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Sequence[str] | None = None,
        top_k_tokens: int | None = 10,
        score_threshold: float | None = None,
    ) -> list[SearchResults]:
        """The k best documents of each of several queries, which are encoded in one pass.

        Args:
            queries: Texts.
            k, filter, ids, top_k_tokens, score_threshold: As for :meth:`search`, the same for all.

        Raises:
            InvalidParameterError, InvalidTextError, InvalidDocumentError, FilterError: As for :meth:`search`.
        """
        check_whole_number("k", k)
        check_top_k_tokens(top_k_tokens)
        check_score_threshold(score_threshold)
        vectors = self.encoder.encode_queries(queries)
        hit_lists = self.index.search(vectors, k, filter=filter, ids=ids)
        return [
            results_of(self.encoder, query, hits, top_k_tokens, score_threshold)
            if query.strip() or not filter
            else listed(self.encoder, self.index, k, filter, ids, top_k_tokens, score_threshold)
            for query, hits in zip(queries, hit_lists, strict=True)
        ]

    def search_diverse(
        self,
        query: str,
        k: int = 10,
        *,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        top_k_tokens: int | None = 10,
        score_threshold: float | None = None,
    ) -> SearchResults:
        """Of the ``fetch_k`` best documents, ``k`` that also differ from each other.

        Args:
            query: A text.
            k: At most so many results.
            fetch_k: How many of the best are chosen from; at least ``k`` are.
            lambda_mult: From 0, as different as can be, to 1, the best whatever they share.
            filter, top_k_tokens, score_threshold: As for :meth:`search`.

        Raises:
            InvalidParameterError, InvalidTextError, FilterError: As for :meth:`search`, or ``fetch_k`` or
                ``lambda_mult`` is out of range.
        """
        check_whole_number("k", k)
        check_whole_number("fetch_k", fetch_k)
        check_number("lambda_mult", lambda_mult, low=0, high=1)
        results = self.search(
            query, max(k, fetch_k), filter=filter, top_k_tokens=top_k_tokens, score_threshold=score_threshold
        )
        vectors = self.index.vectors([result.document.id for result in results])
        chosen = max_marginal_relevance(self.encoder.encode_queries([query]), vectors, k, lambda_mult=lambda_mult)
        return SearchResults(results[position] for position in chosen)

    def close(self) -> None:
        """Close the index, and remove it if it was temporary."""
        self.index.close()
        if self._remove_temporary is not None:
            self._remove_temporary()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the index, and loads the model, for itself."""
        if self._remove_temporary is not None:
            raise InvalidParameterError(
                "a temporary index ends with its process and cannot be pickled: open the retriever at a path"
            )
        return type(self), (self.encoder, self.index)

    def __copy__(self) -> Self:
        return self  # a second handle would keep all it reads a second time

    def __deepcopy__(self, _memo: object) -> Self:
        return self
