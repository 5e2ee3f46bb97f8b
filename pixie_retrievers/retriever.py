"""SparseRetriever: an encoder and an index joined; the one facade that every adapter uses."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from pixie_retrievers.contents import Contents
from pixie_retrievers.diversity import max_marginal_relevance
from pixie_retrievers.errors import IncompatibleIndexError, InvalidParameterError, InvalidTextError
from pixie_retrievers.explaining import listed, results_of
from pixie_retrievers.filters import Filter
from pixie_retrievers.fingerprints import differences
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.documents import check_ids
from pixie_retrievers.index.opening import (
    begin_index,
    check_weights,
    names_no_file,
    open_if_there,
    open_index,
    remove_index,
    without_credentials,
)
from pixie_retrievers.learning import Learning
from pixie_retrievers.models import EncoderChoice, chosen_encoder
from pixie_retrievers.parameters import (
    check_number,
    check_parts,
    check_score_threshold,
    check_top_k_tokens,
    check_whole_number,
)
from pixie_retrievers.queries import QueriesChoice, check_queries, encoder_for
from pixie_retrievers.reasons import Reasons
from pixie_retrievers.rules.asking import RulesChoice
from pixie_retrievers.text_fields import TextFields, split_fingerprint
from pixie_retrievers.types import SearchResults

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SparseRetriever"]


class SparseRetriever(Contents, Reasons, Learning):
    """Documents in, explained hits out.

    Args:
        encoder: Turns text into sparse vectors; a model's name or folder, or ``"bundled"``, loads one. Closing the
            retriever leaves it alone.
        index: Holds the vectors. The retriever closes it.

    Raises:
        InvalidParameterError, IncompatibleIndexError: One of the two is not what it should be, or of another model.
    """

    def __init__(self, encoder: EncoderChoice, index: Index) -> None:
        check_parts(index=index)
        if isinstance(encoder, (str, os.PathLike)):
            encoder = chosen_encoder(encoder, index.fingerprint)
        check_parts(encoder=encoder)
        fingerprint, self._text_fields = split_fingerprint(index.fingerprint)
        found = differences(fingerprint, encoder.fingerprint)
        if found or index.vocabulary_size != encoder.vocabulary_size:
            raise IncompatibleIndexError(
                f"index ({index.vocabulary_size} terms) and encoder ({encoder.vocabulary_size} terms) are of different"
                f" models{found and f': {found}'}; open the index with the encoder it was built with, or build a new"
                " one"
            )
        self.encoder = encoder
        self.index = index
        self._remove_temporary: Callable[[], object] | None = None

    @property
    def text_fields(self) -> str | None:
        """The template of what is encoded: metadata around the text; None for the text alone."""
        return None if self._text_fields is None else self._text_fields.template

    @property
    def query_fingerprint(self) -> str:
        """What questions are encoded with: the model, or the table in its place, and the rules of the index."""
        own = getattr(self.encoder, "query_fingerprint", self.encoder.fingerprint)
        return " rules=".join(filter(None, [own, self.rules.fingerprint]))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        encoder: EncoderChoice | None = None,
        weights: str | None = None,
        text_fields: str | Iterable[str] | None = None,
        queries: QueriesChoice = None,
    ) -> Self:
        """Open the index at a path, or begin a new one there.

        Args:
            path: An index file, or the URL of a server's index (:func:`~pixie_retrievers.open_index`). None or
                ``":memory:"`` puts the index into a temporary file that goes when the retriever goes. A file without
                content is a new index.
            encoder: An encoder; or a model's name or folder, or ``"bundled"``. None loads the model that an existing
                index was built with, and the default model for a new one.
            weights: How a new index stores weights: "float32" (exact), "float16" or "uint8"; None takes what an
                existing index has, and "float32" for a new one.
            text_fields: What a new index encodes and stores as a document's text: metadata fields with the text among
                them, as in ``("title", "text")``, each on a line of its own, or a template such as
                ``"{title}: {text}"``; a field that a document lacks is left out. The index remembers it; None takes
                what an existing index has, and the text alone for a new one.
            queries: Who encodes questions: "model" or None for the model itself; "inference-free" for the table that
                :meth:`derive_query_table` put into the index, without loading a model; or a
                :class:`~pixie_retrievers.QueryTable`, or the path of a saved one.

        Raises:
            ModelUnavailableError: A model was needed and cannot be loaded.
            IncompatibleIndexError: The index was built with another encoder, stores weights in another format, or
                encodes other fields.
            InvalidParameterError: There is no such format, the fields do not have the text among them, or a table is
                asked for that is not there.
        """
        check_queries(queries)
        fields = None if text_fields is None else TextFields.of(text_fields)
        if names_no_file(path):
            path = None
        if path is not None and (found := open_if_there(path, weights=weights)) is not None:
            with ExitStack() as on_error:
                on_error.callback(found.close)
                if fields is not None:
                    fields.check_index(found.fingerprint, without_credentials(path))
                retriever = cls.from_index(found, encoder=encoder, queries=queries)
                on_error.pop_all()
            return retriever
        if queries not in (None, "model"):
            raise InvalidParameterError("a new index keeps no query table yet: leave queries out, and derive one later")
        check_weights(weights)  # before a model is loaded
        encoder = chosen_encoder(encoder)
        check_parts(encoder=encoder)
        fingerprint = encoder.fingerprint if fields is None else fields.marked(encoder.fingerprint)
        begin = partial(begin_index, vocabulary_size=encoder.vocabulary_size, fingerprint=fingerprint, weights=weights)
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
        cls,
        source: str | os.PathLike[str] | Index,
        *,
        encoder: EncoderChoice | None = None,
        read_only: bool = False,
        queries: QueriesChoice = None,
    ) -> Self:
        """Retrieve from an index that is there already.

        Args:
            source: The path or URL of an index, or an open index.
            encoder: The one the index was built with, or the model's name or folder; None loads it, as the index's
                fingerprint names it.
            read_only: Open the file without the right to write. It is not locked before the first write anyway.
            queries: Who encodes questions, as for :meth:`open`.

        Raises:
            IndexNotFoundError: Nothing is at the path.
            ModelUnavailableError: The model cannot be loaded, or was a local folder: pass the encoder.
            IncompatibleIndexError: The index was built with another encoder.
        """
        index = open_index(source, read_only=read_only) if isinstance(source, (str, os.PathLike)) else source
        try:
            return cls(encoder_for(index, encoder, queries), index)
        except BaseException:
            if index is not source:
                index.close()
            raise

    @classmethod
    def from_source(
        cls,
        source: str | os.PathLike[str] | Index | SparseRetriever,
        *,
        encoder: EncoderChoice | None = None,
        queries: QueriesChoice = None,
    ) -> tuple[SparseRetriever, bool]:
        """Whatever a caller has of an index, as a facade, and whether it was opened here and is theirs to close.

        Args:
            source: The path or URL of an index; or an open index or facade, which whoever opened it closes.
            encoder, queries: As for :meth:`from_index`; a facade has its own.

        Raises:
            IndexNotFoundError, ModelUnavailableError, IncompatibleIndexError: As for :meth:`from_index`.
            InvalidParameterError: The source is none of these, or an encoder stands beside a facade that has another.
        """
        if isinstance(source, SparseRetriever):
            if encoder is not None and encoder is not source.encoder:
                raise InvalidParameterError("the SparseRetriever has an encoder of its own: leave encoder out")
            if queries is not None:
                raise InvalidParameterError("the SparseRetriever was opened with its own queries: leave queries out")
            return source, False
        if isinstance(source, (str, os.PathLike)):
            return cls.from_index(source, encoder=encoder, queries=queries), True
        if not isinstance(source, Index):
            raise InvalidParameterError(
                f"the index is of type {type(source).__name__}: pass a path, an open index or a SparseRetriever"
            )
        return cls.from_index(source, encoder=encoder, queries=queries), False

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Iterable[str] | None = None,
        top_k_tokens: int | None = 10,
        score_threshold: float | None = None,
        rules: RulesChoice = True,
    ) -> SearchResults:
        """The k best documents of a query, as new objects: the caller may change their metadata.

        Args:
            query: A text. An empty one with a filter lists what passes, in insertion order, at score 0.
            k: At most so many results, 1 or more; fewer come back when fewer documents share a token.
            filter: Which documents count, by their metadata; applied before the k best are taken.
            ids: Only documents under these ids count; None for all.
            top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.
            score_threshold: Drop results that score less; None keeps all.
            rules: The rules that weigh the query's tokens: True for those that the index holds, False for none; or
                others, as :class:`~pixie_retrievers.Rules` or the path of a file of them.

        Raises:
            InvalidParameterError: ``k``, ``top_k_tokens`` or ``score_threshold`` is out of range or not a number.
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
            InvalidDocumentError: An id is not a string.
            FilterError: The filter means nothing.
            IncompatibleIndexError: The rules are another model's.
        """
        if not isinstance(query, str):
            raise InvalidTextError(
                f"the query is of type {type(query).__name__}, not a string: search_many takes several queries"
            )
        return self.search_many(
            [query],
            k,
            filter=filter,
            ids=ids,
            top_k_tokens=top_k_tokens,
            score_threshold=score_threshold,
            rules=rules,
        )[0]

    def search_many(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Iterable[str] | None = None,
        top_k_tokens: int | None = 10,
        score_threshold: float | None = None,
        rules: RulesChoice = True,
    ) -> list[SearchResults]:
        """The k best documents of each of several queries, which are encoded in one pass.

        Args:
            queries: Texts.
            k, filter, ids, top_k_tokens, score_threshold, rules: As for :meth:`search`, the same for all.

        Raises:
            InvalidParameterError, InvalidTextError, InvalidDocumentError, FilterError, IncompatibleIndexError: As for
                :meth:`search`.
        """
        check_whole_number("k", k)
        check_top_k_tokens(top_k_tokens)
        check_score_threshold(score_threshold)
        queries = queries if isinstance(queries, str) else list(queries)  # the encoder refuses the one string
        ids = None if ids is None else check_ids(ids)
        vectors, applied = self.query_vectors(queries, rules)
        hit_lists = self.index.search(vectors, k, filter=filter, ids=ids)
        return [
            results_of(self.encoder, query, hits, top_k_tokens, score_threshold, ruled)
            if query.strip() or not filter
            else listed(self.encoder, self.index, k, filter, ids, top_k_tokens, score_threshold)
            for query, hits, ruled in zip(queries, hit_lists, applied, strict=True)
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
        rules: RulesChoice = True,
    ) -> SearchResults:
        """Of the ``fetch_k`` best documents, ``k`` that also differ from each other.

        Args:
            query: A text.
            k: At most so many results.
            fetch_k: How many of the best are chosen from; at least ``k`` are.
            lambda_mult: From 0, as different as can be, to 1, the best whatever they share.
            filter, top_k_tokens, score_threshold, rules: As for :meth:`search`.

        Raises:
            InvalidParameterError, InvalidTextError, FilterError, IncompatibleIndexError: As for :meth:`search`, or
                ``fetch_k`` or ``lambda_mult`` is out of range.
        """
        check_whole_number("k", k)
        check_whole_number("fetch_k", fetch_k)
        check_number("lambda_mult", lambda_mult, low=0, high=1)
        chosen_rules = self.chosen_rules(rules)
        results = self.search(
            query,
            max(k, fetch_k),
            filter=filter,
            top_k_tokens=top_k_tokens,
            score_threshold=score_threshold,
            rules=chosen_rules,
        )
        vectors = self.index.vectors([result.document.id for result in results])
        asked = chosen_rules.apply(self.encoder.encode_queries([query]))
        chosen = max_marginal_relevance(asked, vectors, k, lambda_mult=lambda_mult)
        return SearchResults(results[position] for position in chosen)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the index into a new file; where it was temporary, this retriever goes on in that file, which stays.

        Nobody else may be using a temporary index meanwhile.

        Args:
            path: The new file; it must not exist.

        Raises:
            StorageError: There is a file, or it cannot be written.
            IndexNotFoundError: Nothing was ever written to the index.
            InvalidParameterError: A server keeps the index: ``copy_index`` copies it.
        """
        copy = getattr(self.index, "backup", None)
        if copy is None:
            raise InvalidParameterError("only an index in a file has a backup: copy this one with copy_index")
        copy(path)
        if self._remove_temporary is not None:
            remove, self._remove_temporary = self._remove_temporary, None
            self.index = open_index(path)
            remove()

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
                "a temporary index ends with its process and cannot be pickled: open the retriever at a path, or save"
                " it by backup(path)"
            )
        return type(self), (self.encoder, self.index)

    def __copy__(self) -> Self:
        return self  # a second handle would keep all it reads a second time

    def __deepcopy__(self, _memo: object) -> Self:
        return self
