"""How texts go through a model: which go together, and what comes out of them.

Two ways. A ModernBERT takes texts behind each other, in the order in which they come; on a GPU, one batch is computed
while the vectors of the one before are fetched. Every other model takes what sentence-transformers makes of texts,
padded to the longest, so that texts of similar length go together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from pixie_retrievers.encoder.batches import MOST_TEXTS, by_tokens, packed_budget, plan_batches
from pixie_retrievers.encoder.forward import Kind, forward, prepare, prompt_of
from pixie_retrievers.encoder.head import BlockwisePooling, masked_language_model
from pixie_retrievers.encoder.modernbert import ModernBert, packed_network
from pixie_retrievers.encoder.packing import Packing
from pixie_retrievers.encoder.questions import QuestionGraphs
from pixie_retrievers.encoder.sparsify import SparseRows, assemble
from pixie_retrievers.encoder.turns import Turns
from pixie_retrievers.encoder.vocabulary import Reading, Vocabulary
from pixie_retrievers.types import SparseVectors

__all__ = ["PackedPasses", "PaddedPasses", "Passes", "passes_of"]

_WINDOW = 8  # batches: of so many, texts of similar length are put together

_MOST_TEXTS_ON_GPU = 512  # their vectors are dense for a moment: 100 MB at 50,000 terms
# What sentence-transformers may do to texts before they are tokens, and this package's tokenizer does not.
_CHANGES_TEXTS = ("do_lower_case", "query_expansion", "query_length", "document_length", "processing_kwargs")
_SAMPLES = ["a", " 한국어 Text, 1\u20e3 ", "\u1112\u1161\u11ab [MASK] \U0001f34e\ufe0f\n\ttwo  spaces"]

# cuDNN's would plan anew for every length of texts: half of the time on a GPU.
_BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

Sparsify = Callable[[torch.Tensor], SparseRows]


class Passes(Protocol):
    """What gives vectors for readings; only one thread may be inside the model at a time."""

    def groups(self, readings: Iterator[list[Reading]]) -> Iterator[list[Reading]]:
        """The readings in the order in which they came, as many together as :meth:`start` is to be given."""
        ...

    def start(
        self, readings: Sequence[Reading], turns: Turns | None = None, *, watched: bool = False
    ) -> Callable[[], SparseVectors]:
        """Compute their vectors, or begin to; what it returns waits for the end, and gives one row a reading.

        Args:
            readings: A group of :meth:`groups`.
            turns: Where it has to ask for the model; None where the caller has it.
            watched: The head's last layer is to be called, since someone looks at what it gives.
        """
        ...


class PaddedPasses:
    """Any model of sentence-transformers.

    Args:
        model: A ``SparseEncoder`` that is set to evaluate.
        kind: Decides prompt and route.
        sparsify: Which weights are kept.
        beside: What its transformer is given beside tokens, where it is given the tokens of readings; None where only
            sentence-transformers knows what it makes of a text.
        n_terms: The number of terms.
        max_batch_tokens: How many tokens, padding included, go through it at once.
    """

    def __init__(
        self,
        model: Any,
        kind: Kind,
        sparsify: Sparsify,
        *,
        beside: dict[str, Any] | None,
        n_terms: int,
        max_batch_tokens: int,
    ) -> None:
        self._model = model
        self._kind = kind
        self._sparsify = sparsify
        self._beside = beside
        self._n_terms = n_terms
        self._max_batch_tokens = max_batch_tokens

    def groups(self, readings: Iterator[list[Reading]]) -> Iterator[list[Reading]]:
        """See :class:`Passes`."""
        return by_tokens(readings, _WINDOW * self._max_batch_tokens, _WINDOW * MOST_TEXTS)

    def start(
        self,
        readings: Sequence[Reading],
        turns: Turns | None = None,
        *,
        watched: bool = False,  # noqa: ARG002
    ) -> Callable[[], SparseVectors]:
        """See :class:`Passes`."""
        rows = []
        for batch in plan_batches([reading.n_tokens for reading in readings], self._max_batch_tokens):
            with _turn(turns), self._backends():
                dense = forward(self._model, self._features([readings[n] for n in batch]), self._kind)
                rows.append((batch, self._sparsify(dense)))
            _passed(turns)
        vectors = assemble(rows, len(readings), self._n_terms)
        return lambda: vectors

    def _backends(self) -> AbstractContextManager[Any]:
        on_gpu = self._model.device.type == "cuda"
        return sdpa_kernel(_BACKENDS) if on_gpu else nullcontext()

    def _features(self, readings: list[Reading]) -> dict[str, Any]:
        if self._beside is None:
            return prepare(self._model, [reading.text for reading in readings], self._kind)
        shape = len(readings), max(reading.n_tokens for reading in readings)
        ids = np.full(shape, self._model.tokenizer.pad_token_id, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, reading in enumerate(readings):
            ids[row, : reading.n_tokens] = reading.ids
            mask[row, : reading.n_tokens] = 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask), **self._beside}


class PackedPasses:
    """A ModernBERT, whose texts lie behind each other.

    Args:
        network: What comes before the head.
        head: The head.
        sparsify: Which weights are kept.
        max_batch_tokens: How many tokens go through it at once.
    """

    def __init__(
        self,
        network: ModernBert,
        head: BlockwisePooling,
        sparsify: Sparsify,
        *,
        max_batch_tokens: int,
    ) -> None:
        self._network = network
        self._head = head
        self._sparsify = sparsify
        self._on_gpu = network.device.type == "cuda"
        self._max_batch_tokens = max_batch_tokens if self._on_gpu else packed_budget(max_batch_tokens, network.size)
        self._most_texts = _MOST_TEXTS_ON_GPU if self._on_gpu else MOST_TEXTS
        self._is_fused: bool | None = None
        self._graphs = QuestionGraphs(network, head) if network.runs_on_gpu_alone else None
        self._fetching = torch.cuda.Stream(network.device, priority=-1) if self._on_gpu else None

    def is_of(self, network: ModernBert, head: BlockwisePooling) -> bool:
        """Whether these are its parts."""
        return network is self._network and head is self._head

    def groups(self, readings: Iterator[list[Reading]]) -> Iterator[list[Reading]]:
        """See :class:`Passes`."""
        return by_tokens(readings, self._max_batch_tokens, self._most_texts)

    def start(
        self, readings: Sequence[Reading], turns: Turns | None = None, *, watched: bool = False
    ) -> Callable[[], SparseVectors]:
        """See :class:`Passes`."""
        present = [n for n, reading in enumerate(readings) if reading.n_tokens]
        if not present:
            return lambda: assemble([], len(readings), self._head.embedding_dimension)
        texts = [readings[n].ids for n in present]
        if self._graphs is not None and not watched and len(texts) == 1 and self._graphs.takes(len(texts[0])):
            with _turn(turns), torch.inference_mode():
                rows = self._sparsify(self._graphs(texts[0]))
            _passed(turns)
            return lambda: assemble([(present, rows)], len(readings), self._head.embedding_dimension)
        with _turn(turns), torch.inference_mode(), self._device():
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
        _passed(turns)

        def finish() -> SparseVectors:
            found = rows if done is None else self._fetched(pooled, done)
            return assemble([(present, found)], len(readings), self._head.embedding_dimension)

        return finish

    def _device(self) -> AbstractContextManager[object]:
        """Kernels and events are those of the current device, which need not be the model's."""
        return torch.cuda.device(self._network.device) if self._on_gpu else nullcontext()

    def _fetched(self, pooled: torch.Tensor, done: torch.cuda.Event) -> SparseRows:
        """What is kept of a batch, found beside what the GPU is computing by now."""
        assert self._fetching is not None
        with self._device(), torch.cuda.stream(self._fetching):
            self._fetching.wait_event(done)
            rows = self._sparsify(pooled)
        pooled.record_stream(self._fetching)
        return rows


def _turn(turns: Turns | None) -> AbstractContextManager[object]:
    return nullcontext() if turns is None else turns.of_documents()


def _passed(turns: Turns | None) -> None:
    if turns is not None:
        turns.passed()


def passes_of(
    model: Any,
    vocabulary: Vocabulary,
    sparsify: Sparsify,
    *,
    max_batch_tokens: int,
) -> dict[Kind, Passes]:
    """The way in which a model's questions, and its documents, go through it.

    Args:
        model: A ``SparseEncoder`` as it was loaded and changed.
        vocabulary: The model's.
        sparsify, max_batch_tokens: As for :class:`PackedPasses`.
    """
    found: dict[Kind, Passes] = {}
    packed: dict[int, ModernBert | None] = {}  # both kinds mostly take the same way
    for kind in ("query", "document"):
        steps = _steps(model, kind)
        beside = _beside(model, steps[0], kind, vocabulary)
        head = steps[1] if len(steps) == 2 and isinstance(steps[1], BlockwisePooling) else None
        if beside is not None and head is not None and model.max_active_dims is None:
            network = masked_language_model(steps[0])
            if id(network) not in packed:
                packed[id(network)] = packed_network(network, vocabulary.max_length)
            modern_bert = packed[id(network)]
            if modern_bert is not None:
                others = [passes for passes in found.values() if isinstance(passes, PackedPasses)]
                found[kind] = next((one for one in others if one.is_of(modern_bert, head)), None) or PackedPasses(
                    modern_bert, head, sparsify, max_batch_tokens=max_batch_tokens
                )
                continue
        found[kind] = PaddedPasses(
            model, kind, sparsify,
            beside=beside, n_terms=vocabulary.size, max_batch_tokens=max_batch_tokens,
        )  # fmt: skip
    return found


def _steps(model: Any, kind: Kind) -> list[Any]:
    """The modules that texts of a kind go through, one after the other."""
    steps = list(model.children())
    if len(steps) == 1 and kind in getattr(steps[0], "sub_modules", {}):  # a router
        steps = list(steps[0].sub_modules[kind])
    return steps


def _beside(model: Any, transformer: Any, kind: Kind, vocabulary: Vocabulary) -> dict[str, Any] | None:
    """What a transformer is given beside tokens, where its tokens are those of readings; else None."""
    if any(getattr(transformer, name, None) for name in _CHANGES_TEXTS) or model.tokenizer.padding_side != "right":
        return None
    prepared = prepare(model, _SAMPLES, kind)
    beside = {name: value for name, value in prepared.items() if not isinstance(value, torch.Tensor)}
    tensors = prepared.keys() - beside.keys() - {"token_type_ids"}  # all zeros for single texts, as where they lack
    if tensors != {"input_ids", "attention_mask"}:
        return None
    padded = zip(prepared["input_ids"], prepared["attention_mask"], strict=True)
    seen = [ids[mask.bool()].tolist() for ids, mask in padded]
    readings = vocabulary.read(_SAMPLES, prompt_of(model, kind))
    return beside if seen == [reading.ids.tolist() for reading in readings] else None
