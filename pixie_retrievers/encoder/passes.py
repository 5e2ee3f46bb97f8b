"""How texts go through a model: which go together, and what comes out of them.

Two ways. A ModernBERT takes texts behind each other, in the order in which they come; on a GPU, one batch is computed
while the vectors of the one before are fetched. Every other model takes what sentence-transformers makes of texts,
padded to the longest, so that texts of similar length go together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from pixie_retrievers.encoder.batches import MOST_TEXTS, by_tokens, plan_batches
from pixie_retrievers.encoder.forward import Kind, forward, prepare, prompt_of
from pixie_retrievers.encoder.head import BlockwisePooling, masked_language_model
from pixie_retrievers.encoder.modernbert import ModernBert, packed_network
from pixie_retrievers.encoder.packing import Packing
from pixie_retrievers.encoder.questions import QuestionGraphs
from pixie_retrievers.encoder.sparsify import SparseRows, assemble
from pixie_retrievers.encoder.vocabulary import Reading, Vocabulary
from pixie_retrievers.types import SparseVectors

__all__ = ["PackedPasses", "PaddedPasses", "Passes", "passes_of"]

_WINDOW = 8  # batches: of so many, texts of similar length are put together

_MOST_TEXTS_ON_GPU = 512  # their vectors are dense for a moment: 100 MB at 50,000 terms
# What sentence-transformers may do to texts before they are tokens, and this package's tokenizer does not.
_CHANGES_TEXTS = ("do_lower_case", "query_expansion", "query_length", "document_length", "processing_kwargs")
_SAMPLES = ["a", " 한국어 Text, 1\u20e3 ", "\u1112\u1161\u11ab [MASK] \U0001f34e\ufe0f\n\ttwo  spaces"]

Sparsify = Callable[[torch.Tensor], SparseRows]


class Passes(Protocol):
    """What gives vectors for readings. Safe to use from many threads: they take turns at the model."""

    def groups(self, readings: Iterator[list[Reading]]) -> Iterator[list[Reading]]:
        """The readings in the order in which they came, as many together as :meth:`start` is to be given."""
        ...

    def start(self, readings: Sequence[Reading], *, watched: bool = False) -> Callable[[], SparseVectors]:
        """Compute their vectors, or begin to; what it returns waits for the end, and gives one row a reading.

        Args:
            readings: A group of :meth:`groups`.
            watched: The head's last layer is to be called, since someone looks at what it gives.
        """
        ...


class PaddedPasses:
    """Any model of sentence-transformers.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        kind: Decides prompt and route.
        sparsify: Which weights are kept.
        n_terms: The number of terms.
        max_batch_tokens: How many tokens, padding included, go through it at once.
        turn: Held while it computes.
    """

    def __init__(
        self,
        model: Any,
        kind: Kind,
        sparsify: Sparsify,
        *,
        n_terms: int,
        max_batch_tokens: int,
        turn: AbstractContextManager[Any],
    ) -> None:
        self._model = model
        self._kind = kind
        self._sparsify = sparsify
        self._n_terms = n_terms
        self._max_batch_tokens = max_batch_tokens
        self._turn = turn

    def groups(self, readings: Iterator[list[Reading]]) -> Iterator[list[Reading]]:
        """See :class:`Passes`."""
        return by_tokens(readings, _WINDOW * self._max_batch_tokens, _WINDOW * MOST_TEXTS)

    def start(self, readings: Sequence[Reading], *, watched: bool = False) -> Callable[[], SparseVectors]:  # noqa: ARG002
        """See :class:`Passes`."""
        rows = []
        for batch in plan_batches([reading.n_tokens for reading in readings], self._max_batch_tokens):
            with self._turn:
                dense = forward(self._model, [readings[n].text for n in batch], self._kind)
                rows.append((batch, self._sparsify(dense)))
        vectors = assemble(rows, len(readings), self._n_terms)
        return lambda: vectors


class PackedPasses:
    """A ModernBERT, whose texts lie behind each other.

    Args:
        network: What comes before the head.
        head: The head.
        sparsify: Which weights are kept.
        max_batch_tokens: How many tokens go through it at once.
        turn: Held while it computes; on a GPU, while it is told what to.
    """

    def __init__(
        self,
        network: ModernBert,
        head: BlockwisePooling,
        sparsify: Sparsify,
        *,
        max_batch_tokens: int,
        turn: AbstractContextManager[Any],
    ) -> None:
        self._network = network
        self._head = head
        self._sparsify = sparsify
        self._max_batch_tokens = max_batch_tokens
        self._turn = turn
        self._on_gpu = network.device.type == "cuda"
        self._most_texts = _MOST_TEXTS_ON_GPU if self._on_gpu else MOST_TEXTS
        self._is_fused: bool | None = None
        self._graphs = QuestionGraphs(network, head) if network.runs_on_gpu_alone else None
        self._fetching = torch.cuda.Stream(network.device, priority=-1) if self._on_gpu else None

    def groups(self, readings: Iterator[list[Reading]]) -> Iterator[list[Reading]]:
        """See :class:`Passes`."""
        return by_tokens(readings, self._max_batch_tokens, self._most_texts)

    def start(self, readings: Sequence[Reading], *, watched: bool = False) -> Callable[[], SparseVectors]:
        """See :class:`Passes`."""
        present = [n for n, reading in enumerate(readings) if reading.n_tokens]
        if not present:
            return lambda: assemble([], len(readings), self._head.embedding_dimension)
        texts = [readings[n].ids for n in present]
        if self._graphs is not None and not watched and len(texts) == 1 and self._graphs.takes(len(texts[0])):
            with self._turn, torch.inference_mode():
                rows = self._sparsify(self._graphs(texts[0]))
            return lambda: assemble([(present, rows)], len(readings), self._head.embedding_dimension)
        with self._turn, torch.inference_mode():
            if self._is_fused is None:
                self._is_fused = self._network.fuse()
            packing = Packing.of(texts, self._network.device)
            fused = self._is_fused and not watched
            pooled = self._head.pooled(self._network(packing), packing, fused=fused)
            if not self._on_gpu:
                rows = self._sparsify(pooled)
            done = torch.cuda.Event() if self._on_gpu else None
            if done is not None:
                done.record()

        def finish() -> SparseVectors:
            found = rows if done is None else self._fetched(pooled, done)
            return assemble([(present, found)], len(readings), self._head.embedding_dimension)

        return finish

    def _fetched(self, pooled: torch.Tensor, done: torch.cuda.Event) -> SparseRows:
        """What is kept of a batch, found beside what the GPU is computing by now."""
        assert self._fetching is not None
        with torch.cuda.stream(self._fetching):
            self._fetching.wait_event(done)
            rows = self._sparsify(pooled)
        pooled.record_stream(self._fetching)
        return rows


def passes_of(
    model: Any,
    vocabulary: Vocabulary,
    sparsify: Sparsify,
    *,
    max_batch_tokens: int,
    turn: AbstractContextManager[Any],
) -> dict[Kind, Passes]:
    """The way in which a model's questions, and its documents, go through it.

    Args:
        model: A ``SparseEncoder`` as it was loaded and changed.
        vocabulary: The model's.
        sparsify, max_batch_tokens, turn: As for :class:`PackedPasses`.
    """
    found: dict[Kind, Passes] = {}
    packed: dict[int, PackedPasses] = {}  # both kinds mostly take the same way
    for kind in ("query", "document"):
        found[kind] = PaddedPasses(
            model, kind, sparsify, n_terms=vocabulary.size, max_batch_tokens=max_batch_tokens, turn=turn
        )
        steps = _transformer_and_head(model, kind)
        if steps is None or not _reads_alike(model, kind, vocabulary):
            continue
        network, head = steps
        if id(head) not in packed:
            modern_bert = packed_network(network, vocabulary.max_length)
            if modern_bert is None:
                continue
            packed[id(head)] = PackedPasses(modern_bert, head, sparsify, max_batch_tokens=max_batch_tokens, turn=turn)
        found[kind] = packed[id(head)]
    return found


def _transformer_and_head(model: Any, kind: Kind) -> tuple[Any, BlockwisePooling] | None:
    """The network and the head, where nothing else is on the way of a kind of texts."""
    steps = list(model.children())
    if len(steps) == 1 and kind in getattr(steps[0], "sub_modules", {}):  # a router
        steps = list(steps[0].sub_modules[kind])
    if len(steps) != 2 or not isinstance(steps[1], BlockwisePooling) or model.max_active_dims is not None:
        return None
    if any(getattr(steps[0], name, None) for name in _CHANGES_TEXTS):
        return None
    return masked_language_model(steps[0]), steps[1]


def _reads_alike(model: Any, kind: Kind, vocabulary: Vocabulary) -> bool:
    """Whether a model's texts become the tokens that this package's reading of them says."""
    prompt = prompt_of(model, kind)
    prepared = prepare(model, [prompt + text for text in _SAMPLES], kind)
    if "attention_mask" not in prepared:
        return False
    seen = [
        ids[mask.bool()].tolist() for ids, mask in zip(prepared["input_ids"], prepared["attention_mask"], strict=True)
    ]
    return seen == [reading.ids.tolist() for reading in vocabulary.read(_SAMPLES, prompt)]
