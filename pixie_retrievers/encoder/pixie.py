"""PixieEncoder: text to sparse vectors with any SPLADE model that sentence-transformers can run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pixie_retrievers.encoder.batches import token_budget
from pixie_retrievers.encoder.cache import VectorCache
from pixie_retrievers.encoder.device import choose_device, choose_precision, free_memory, this_machine
from pixie_retrievers.encoder.fingerprint import describe, find_described, options_of
from pixie_retrievers.encoder.forks import check_fork, cuda_stayed_behind, refusal
from pixie_retrievers.encoder.forward import Kind, prompt_of
from pixie_retrievers.encoder.loading import count_parameters, limit_length, load_model, token_bytes, vocabulary_size
from pixie_retrievers.encoder.naming import NamesInTexts
from pixie_retrievers.encoder.packages import check_packages
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.encoder.source import BUNDLED_FOLDER, find_model
from pixie_retrievers.encoder.special import read_special_tokens_as_text, specials_stay_special
from pixie_retrievers.encoder.stream import streams_of
from pixie_retrievers.encoder.texts import checked_texts
from pixie_retrievers.encoder.turns import Turns
from pixie_retrievers.encoder.unread import Unread, report_unread
from pixie_retrievers.encoder.vocabulary import Vocabulary
from pixie_retrievers.errors import IncompatibleIndexError, ModelUnavailableError
from pixie_retrievers.fingerprints import differences
from pixie_retrievers.parameters import check_number, check_whole_number
from pixie_retrievers.types import MAX_WEIGHT, RaisedBy, SparseVectors, TextSpans

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PixieEncoder"]

_DEFAULT_MODEL = "telepix/PIXIE-Splade-Preview"
_CACHED_QUERIES = 1024

_logger = logging.getLogger("pixie_retrievers")


class PixieEncoder:
    """Text in, explainable sparse vectors out.

    Safe to use from many threads; they take turns at the model.

    Args:
        model: A model's id on the hub, or a folder that holds one: PIXIE, or any other SPLADE model of
            sentence-transformers, in the layout of version 5 or of today.
        device: "cpu", "mps", "cuda", "cuda:1"; None or "auto" for the fastest there is.
        precision: "float32", "bfloat16" or "float16", whatever the weights are stored in; "int8", on a CPU, is the
            fastest there and the least exact; "auto" is bfloat16 where the device computes in it natively and the
            model is large enough to gain from it, otherwise float32. docs/encoder.md has the figures.
        min_weight: Keep weights strictly above this, 0 or more.
        max_active_terms: Keep at most so many terms of a text, those with the largest weights; None keeps all.
        max_length: Cut texts to so many tokens, prompt and special tokens included; None is the model's own limit.
        revision: A branch, tag or commit on the hub; None is the newest.
        max_batch_tokens: How many tokens, padding included, the model sees at once; None is what the device's free
            memory allows. Decides memory and speed, never the result. A single text may be longer.

    Raises:
        ModelUnavailableError: The model is neither a folder, nor in the local cache, nor reachable on the hub; or the
            process was forked after its parent had used torch, so that nothing computes in it.
        UnsafeModelError: Loading it would run code or unpickle data that came with it.
        DeviceUnavailableError: The device, or what the precision needs of it, is not on this machine.
        InvalidParameterError: An argument is out of its range, or the model is not a SPLADE model.
        OptionalDependencyError: The extra ``encoder`` is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = _DEFAULT_MODEL,
        *,
        device: str | None = None,
        precision: str = "auto",
        min_weight: float = 0.0,
        max_active_terms: int | None = None,
        max_length: int | None = None,
        revision: str | None = None,
        max_batch_tokens: int | None = None,
    ) -> None:
        check_number("min_weight", min_weight, low=0, high=MAX_WEIGHT)
        check_whole_number("max_active_terms", max_active_terms, none_means="all terms")
        check_whole_number("max_length", max_length, none_means="the model's own limit")
        check_whole_number("max_batch_tokens", max_batch_tokens, none_means="what the memory allows")
        check_packages()
        check_fork()
        machine = this_machine()
        device = choose_device(device, machine)
        if device.startswith("cuda") and cuda_stayed_behind():
            raise refusal("this process was forked after its parent had used the GPU")
        choose_precision(precision, device, machine, n_parameters=0)  # refused before anything is fetched
        self._source = find_model(model, revision)
        self._precision = choose_precision(
            precision, device, machine, n_parameters=count_parameters(self._source.folder)
        )
        self._model = load_model(self._source.folder, device=device, precision=self._precision)
        self._device = str(self._model.device)
        self._min_weight = float(min_weight)
        self._max_active_terms = max_active_terms
        self._max_batch_tokens = max_batch_tokens or token_budget(device, free_memory(device), token_bytes(self._model))
        special_is_text = not specials_stay_special(self._model)
        self._vocabulary = Vocabulary(
            self._model.tokenizer,
            size=vocabulary_size(self._model),
            max_length=limit_length(self._model, self._source.name, max_length),
            special_is_text=special_is_text,
        )
        if special_is_text:
            read_special_tokens_as_text(self._model)
        self._turns = Turns()
        self._streams = streams_of(
            self._model,
            self._vocabulary,
            self._turns,
            min_weight=self._min_weight,
            max_active_terms=max_active_terms,
            max_batch_tokens=self._max_batch_tokens,
        )
        self._process = os.getpid()
        self._queries = VectorCache(_CACHED_QUERIES)

    @classmethod
    def bundled(
        cls,
        *,
        device: str | None = None,
        precision: str = "auto",
        min_weight: float = 0.0,
        max_active_terms: int | None = None,
        max_length: int | None = None,
        max_batch_tokens: int | None = None,
    ) -> Self:
        """The small model that comes with the package: no download, and no match for PIXIE.

        Args:
            device, precision, min_weight, max_active_terms, max_length, max_batch_tokens: As for the class.

        Raises:
            ModelUnavailableError: The package was installed without it.
        """
        if not BUNDLED_FOLDER.is_dir():
            raise ModelUnavailableError(f"the bundled model is missing at {BUNDLED_FOLDER}: install the package again")
        return cls(
            BUNDLED_FOLDER,
            device=device,
            precision=precision,
            min_weight=min_weight,
            max_active_terms=max_active_terms,
            max_length=max_length,
            max_batch_tokens=max_batch_tokens,
        )

    @classmethod
    def from_fingerprint(cls, fingerprint: str, *, device: str | None = None, precision: str = "auto") -> Self:
        """The encoder that an index was built with: the same model and thresholds.

        Args:
            fingerprint: What :attr:`fingerprint` was, as an index remembers it.
            device: As for the class; another one than before does no harm.
            precision: As for the class; an index that was built in int8 stays with it.

        Raises:
            ModelUnavailableError: The model cannot be fetched, or was a folder, whose place nobody wrote down: the
                message says how to get it.
            IncompatibleIndexError: The fingerprint is not an encoder's, or the model has changed since.
        """
        source = find_described(fingerprint)
        options = {"device": device, "precision": precision} | options_of(fingerprint)
        if source.revision is None:
            encoder = cls(source.folder, **options)
        else:
            encoder = cls(source.name, revision=source.revision, **options)
        if found := differences(fingerprint, encoder.fingerprint):
            raise IncompatibleIndexError(
                f"the index was built with another model than the one that is here ({found}): pass its folder as the"
                " encoder, or build the index again"
            )
        return encoder

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process loads the model anew: what is pickled are the options."""
        options = self.worker_options() | {"device": self.device}
        if self._source.revision is not None:
            options |= {"model": self._source.name, "revision": self._source.revision}
        return partial(type(self), **options), ()

    def __copy__(self) -> Self:
        return self  # it never changes

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"PixieEncoder({self.name!r}, device={self.device!r}, precision={self.precision!r})"

    @property
    def name(self) -> str:
        """The model's id on the hub, its folder's name, or "pixie-nano" for the bundled one."""
        return self._source.name

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self._device

    @property
    def precision(self) -> str:
        """What it computes in: a float type, or int8."""
        return self._precision

    @property
    def vocabulary_size(self) -> int:
        """The number of terms."""
        return self._vocabulary.size

    @property
    def max_length(self) -> int:
        """Where texts are cut, in tokens, prompt and special tokens included."""
        return self._vocabulary.max_length

    @cached_property
    def fingerprint(self) -> str:
        """The model's identity: equal fingerprints give equal vectors, up to device and precision.

        Those of the same files under another name, or of another commit, differ in "model" and "revision" alone, and an
        index takes one for the other.
        """
        return describe(
            self._source,
            self._model,
            max_length=self.max_length,
            min_weight=self._min_weight,
            max_active_terms=self._max_active_terms,
            precision=self._precision,
        )

    def worker_options(self) -> dict[str, Any]:
        """What an encoder in another process is made with, but for its device, to give the same vectors."""
        return {
            "model": str(self._source.folder),
            "precision": self._precision,
            "min_weight": self._min_weight,
            "max_active_terms": self._max_active_terms,
            "max_length": self.max_length,
        }

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """One vector a text, with the model's own prompt and route for queries.

        All texts go through the model together; the vectors of the latest 1,024 are remembered. An empty text, or one
        of white space, gives an empty vector.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
            InvalidVectorError: The model gave weights that are not finite.
            UnsafeModelError: The model's tokenizer breaks down at a text.
            ModelUnavailableError: The process was forked after the model was loaded.
        """
        self._check_process()
        return self._queries.get(
            checked_texts(texts),
            lambda missing: self._encode(missing, "query"),
            self.vocabulary_size,
        )

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> SparseVectors:
        """One vector a text, with the model's own prompt and route for documents.

        An empty text, or one of white space, gives an empty vector. A text longer than :attr:`max_length` is cut, and a
        ``PixieWarning`` says how many were.

        Args:
            texts: The texts.
            show_progress: Show how many texts are done, how fast, and how long it will take.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
            InvalidVectorError: The model gave weights that are not finite.
            UnsafeModelError: The model's tokenizer breaks down at a text.
            ModelUnavailableError: The process was forked after the model was loaded.
        """
        checked = checked_texts(texts)
        with progress(len(checked), shown=show_progress) as advance:
            return self._encode(checked, "document", advance)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has as a document, all of it, prompt and special tokens included.

        Raises:
            InvalidTextError: A text is not a string or cannot be written as UTF-8.
            UnsafeModelError: The model's tokenizer breaks down at a text.
        """
        return self._vocabulary.count(checked_texts(texts), prompt_of(self._model, "document"))

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term, markers included.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
        """
        return self._vocabulary.tokens(term_ids)

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it: no ``##``, no ``▁``, no byte alphabet; bytes that are not text as ⟨EC⟩.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
        """
        return self._vocabulary.surfaces(term_ids)

    def names_in(self, query: str, document: str) -> NamesInTexts:
        """Names for the terms that two texts share: as :meth:`surfaces`, but never a part of a character."""
        return NamesInTexts(self._vocabulary, query, document, prompt_of(self._model, "document"))

    def spans(self, text: str, *, kind: Kind = "document") -> TextSpans:
        """What of a text the model reads, and where each of its terms stands: the tokenizer is asked, not the model.

        Args:
            text: A text.
            kind: "document" or "query", whose prompts may differ in length.

        Raises:
            InvalidTextError: The text is not a string or cannot be written as UTF-8.
            UnsafeModelError: The model's tokenizer breaks down at the text.
        """
        return self._vocabulary.located(checked_texts([text])[0], prompt_of(self._model, kind))[2]

    def raised_by(self, text: str, term_ids: Sequence[int], *, kind: Kind = "document") -> dict[int, RaisedBy]:
        """Which of a text's tokens raised each of some terms: one more pass of the model, over this text alone.

        Terms that the model gives the text no weight for are not in the result.

        Raises:
            InvalidParameterError: A term is outside the vocabulary.
            InvalidTextError, UnsafeModelError, ModelUnavailableError: As for :meth:`encode_documents`.
        """
        from pixie_retrievers.encoder.raising import raised_by

        self._check_process()
        (checked,) = checked_texts([text])
        return raised_by(
            self._model, self._vocabulary, checked, term_ids, kind, passes=self._streams[kind].passes, turns=self._turns
        )

    def _check_process(self) -> None:
        """Refuse to work in a fork: its locks may be held, and the threads that compute stayed behind. It would hang.

        Raises:
            ModelUnavailableError: The process was forked after the model was loaded.
        """
        if os.getpid() != self._process:
            raise refusal("the model was loaded before this process was forked")
        check_fork()

    def _encode(self, texts: list[str], kind: Kind, advance: Callable[[int], object] = lambda _: None) -> SparseVectors:
        parts = list(self._stream(texts, kind, advance))
        return parts[0] if len(parts) == 1 else SparseVectors.concatenate(parts, self.vocabulary_size)

    def _stream(self, checked: list[str], kind: Kind, advance: Callable[[int], object]) -> Iterator[SparseVectors]:
        self._check_process()
        unread = Unread(0, len(checked), self.max_length)
        done = 0
        stream = self._streams[kind]
        for readings, vectors in stream.documents(checked) if kind == "document" else stream.questions(checked):
            for text, reading in zip(checked[done : done + len(readings)], readings, strict=True):
                if reading.cut:
                    unread.add(Unread(1, 0, 0, len(text), reading.n_read))
            done += len(readings)
            advance(len(readings))
            yield vectors
        # Of documents it is said to who waits for them, of queries to the log.
        if kind == "document":
            report_unread(unread)
        elif unread.n_cut:
            _logger.info(
                "%d of %d queries were longer than %d tokens and were cut", unread.n_cut, len(checked), self.max_length
            )
